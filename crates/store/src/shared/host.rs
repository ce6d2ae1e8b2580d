//! Which host this is: only processes that share a directory of locks can see whether one of them is dead.

use std::fs;
use std::io;
use std::path::Path;

use crate::clock;
use crate::files;
use crate::seal::{encode_hex, random};

/// The identity of a directory of locks in this boot. Containers of one machine have directories of their own, and a
/// directory on a network disk is another one in each machine's boot: neither may take the other's living for dead.
pub(super) fn id(holders: &Path) -> io::Result<String> {
    let path = holders.join("host");
    let fresh = encode_hex(&random::<16>().map_err(io::Error::other)?);
    let draft = holders.join(format!("host.{fresh}"));
    files::write_atomically(&draft, fresh.as_bytes())?;
    // Whoever links first gives the name; it is whole when it appears.
    let linked = fs::hard_link(&draft, &path);
    files::remove(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let directory = fs::read_to_string(&path)?;
    Ok(format!("{}/{:032x}", directory.trim(), clock::boot_id().0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_name_and_no_two_share_one() {
        let (one, two) = (
            tempfile::tempdir().expect("a directory"),
            tempfile::tempdir().expect("a directory"),
        );
        let first = id(one.path()).expect("a name");
        assert_eq!(id(one.path()).expect("a name"), first);
        assert_ne!(id(two.path()).expect("a name"), first);
        assert_eq!(fs::read_dir(one.path()).expect("listed").count(), 1);
    }
}
