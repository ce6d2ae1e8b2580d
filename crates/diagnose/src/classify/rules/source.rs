//! The files of rules that are shipped.

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        pub(super) const FILES: &[(&str, &str)] = &[$((
            $name,
            include_str!(concat!("../../../../../catalogue/rules/", $name)),
        )),*];
    };
}

files! {
    "words.toml",
    "passing.toml",
    "shape.toml",
    "rfc8628.toml",
    "rfc9449.toml",
    "rfc9470.toml",
    "wordpress.toml",
    "wordpress-jwt.toml",
    "entra.toml",
    "microsoft.toml",
    "okta.toml",
    "google.toml",
    "slack.toml",
    "github.toml",
    "salesforce.toml",
    "aws.toml",
    "meta.toml",
    "social.toml",
    "china.toml",
    "business.toml",
    "psd2.toml",
    "identity.toml",
    "gateways.toml",
    "frameworks.toml",
    "apps.toml",
    "text.toml",
    "text-token.toml",
    "tenure.toml",
    "text-api.toml",
    "rfc6750.toml",
    "rfc6749.toml",
}
