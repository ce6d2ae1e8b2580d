//! Which issuers a server's tokens may name beside its own.

use super::Profile;

/// Stands in [`Profile::token_issuers`] for the id (UUID) of a tenant.
const TENANT: &str = "{tenant}";

impl Profile {
    /// Whether a server that is `issuer` itself may have issued a token that names `found`.
    pub fn issues_as(&self, issuer: &str, found: &str) -> bool {
        self.token_issuers
            .iter()
            .any(|template| fits(template, issuer, found))
    }
}

/// The tenant is that of the issuer, where the issuer names one by its id; else any.
fn fits(template: &str, issuer: &str, found: &str) -> bool {
    let Some((before, after)) = template.split_once(TENANT) else {
        return template == found;
    };
    let rest = found.strip_prefix(before);
    let Some(tenant) = rest.and_then(|rest| rest.strip_suffix(after)) else {
        return false;
    };
    let own = issuer
        .split_once("://")
        .and_then(|(_, rest)| rest.split('/').nth(1))
        .filter(|own| is_id(own));
    is_id(tenant) && own.is_none_or(|own| own.eq_ignore_ascii_case(tenant))
}

/// Whether it is a UUID.
fn is_id(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        })
}

/// Whether a template has no place but that for a tenant, once.
pub(super) fn is_issuer(template: &str) -> bool {
    let rest = template.replacen(TENANT, "", 1);
    !rest.is_empty() && !rest.contains(['{', '}', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::profile;

    const TENANT_A: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    const TENANT_B: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

    #[test]
    fn entra_names_two_issuers_of_the_same_tenant() {
        let entra = profile("entra-id").expect("a profile");
        let v2 = |tenant: &str| format!("https://login.microsoftonline.com/{tenant}/v2.0");
        let v1 = |tenant: &str| format!("https://sts.windows.net/{tenant}/");
        assert!(entra.issues_as(&v2(TENANT_A), &v1(TENANT_A)));
        assert!(!entra.issues_as(&v2(TENANT_A), &v1(TENANT_B)));
        for shared in ["common", "organizations", "contoso.example", "{tenantid}"] {
            assert!(entra.issues_as(&v2(shared), &v1(TENANT_B)), "{shared}");
            assert!(entra.issues_as(&v2(shared), &v2(TENANT_B)), "{shared}");
        }
        for other in [
            "https://sts.windows.net/",
            "https://sts.windows.net/x/",
            "https://sts.windows.net.evil.example/72f988bf-86f1-41af-91ab-2d7cd011db47/",
        ] {
            assert!(!entra.issues_as(&v2("common"), other), "{other}");
        }
        let google = profile("google").expect("a profile");
        assert!(google.issues_as("https://accounts.google.com", "accounts.google.com"));
        let plain = profile("oauth2").expect("a profile");
        assert!(!plain.issues_as(&v2(TENANT_A), &v1(TENANT_A)));
    }

    #[test]
    fn only_the_tenant_may_stand_in_a_template() {
        assert!(is_issuer("https://sts.example/{tenant}/"));
        assert!(is_issuer("accounts.example"));
        for wrong in [
            "",
            "{tenant}",
            "https://x/{realm}",
            "https://{tenant}/{tenant}",
        ] {
            assert!(!is_issuer(wrong), "{wrong}");
        }
    }
}
