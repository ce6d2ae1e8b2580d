//! What to paste into a web server that keeps the Authorization header from PHP or from the API behind it.

use tenure_core::Who;

use super::Fix;

const APACHE: &str = "\
# .htaccess or the virtual host, before WordPress's own block, outside of <IfModule>
SetEnvIf Authorization \"(.*)\" HTTP_AUTHORIZATION=$1
RewriteEngine On
RewriteCond %{HTTP:Authorization} ^(.*)
RewriteRule ^(.*) - [E=HTTP_AUTHORIZATION:%1]
# or, with Apache 2.4.13 and later, in the virtual host or <Directory>
CGIPassAuth On";

const NGINX: &str = "\
# nginx in front of PHP-FPM or another FastCGI server, in the location that has fastcgi_pass
fastcgi_param HTTP_AUTHORIZATION $http_authorization;
# nginx in front of another HTTP server, in the location that has proxy_pass
proxy_set_header Authorization $http_authorization;";

const LITESPEED: &str = "\
# .htaccess, before WordPress's own block
RewriteEngine On
RewriteRule .* - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]";

/// What brings the header back, the software that answered first.
pub fn header_lost(software: Option<&str>) -> Vec<Fix> {
    let name = software.unwrap_or_default().to_ascii_lowercase();
    let all = [
        ("apache", "Apache (mod_php, CGI, FPM)", APACHE),
        ("nginx", "nginx", NGINX),
        ("litespeed", "LiteSpeed", LITESPEED),
    ];
    let step = |title: &str, text: &str| {
        Fix::new(
            Who::ServerAdmin,
            format!("Let {title} pass the Authorization header on, then restart it"),
        )
        .paste(text)
    };
    let known = all.iter().find(|(sign, ..)| name.contains(sign));
    let mut fixes: Vec<Fix> = match known {
        Some((_, title, text)) => vec![step(title, text)],
        None => all
            .iter()
            .map(|(_, title, text)| step(title, text))
            .collect(),
    };
    fixes.push(Fix::new(
        Who::ServerAdmin,
        "If a CDN, firewall or proxy stands in front: allow the Authorization header there",
    ));
    fixes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_software_that_answered_comes_first_and_alone() {
        let fixes = header_lost(Some("nginx/1.27.3"));
        assert_eq!(fixes.len(), 2);
        assert!(
            fixes[0]
                .paste
                .as_ref()
                .is_some_and(|text| text.contains("fastcgi_param"))
        );
        assert_eq!(header_lost(Some("cloudflare")).len(), 4);
        assert_eq!(header_lost(None).len(), 4);
    }
}
