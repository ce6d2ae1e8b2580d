//! Tokens, keys and secrets that say by their first characters what they are.

/// What kind of secret it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// An access token that only its server can read.
    Access,
    /// A refresh token.
    Refresh,
    /// An API key.
    Key,
    /// A client's secret.
    Secret,
}

/// Something recognised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Its first characters; they are the same for everybody.
    pub(super) prefix: &'static str,
    /// What it is, with its article.
    pub(super) what: &'static str,
    /// What kind.
    pub(super) sort: Sort,
}

/// Shorter texts that begin like this are words.
const REST_FROM: usize = 8;

const fn known(prefix: &'static str, what: &'static str, sort: Sort) -> Known {
    Known { prefix, what, sort }
}

use Sort::{Access, Key, Refresh, Secret};

/// Longer prefixes before those they begin with.
const KNOWN: &[Known] = &[
    known(
        "github_pat_",
        "a GitHub fine-grained personal access token",
        Access,
    ),
    known("ghp_", "a GitHub personal access token", Access),
    known("gho_", "a GitHub OAuth access token", Access),
    known("ghu_", "a GitHub App user access token", Access),
    known("ghs_", "a GitHub App installation token", Access),
    known("ghr_", "a GitHub refresh token", Refresh),
    known("glpat-", "a GitLab personal access token", Access),
    known("glptt-", "a GitLab pipeline trigger token", Access),
    known("gldt-", "a GitLab deploy token", Access),
    known("gloas-", "a GitLab OAuth application secret", Secret),
    known("glrt-", "a GitLab runner token", Key),
    known("xoxe.xoxb-", "a Slack bot token that rotates", Access),
    known("xoxe.xoxp-", "a Slack user token that rotates", Access),
    known("xoxe-", "a Slack refresh token", Refresh),
    known("xoxb-", "a Slack bot token", Access),
    known("xoxp-", "a Slack user token", Access),
    known("xoxa-", "a Slack workspace token", Access),
    known("xapp-", "a Slack app-level token", Access),
    known("ya29.", "a Google access token", Access),
    known("1//", "a Google refresh token", Refresh),
    known("GOCSPX-", "a Google OAuth client secret", Secret),
    known("AIza", "a Google API key", Key),
    known("sk_live_", "a Stripe secret key", Key),
    known("sk_test_", "a Stripe secret key for tests", Key),
    known("rk_live_", "a Stripe restricted key", Key),
    known("rk_test_", "a Stripe restricted key for tests", Key),
    known("pk_live_", "a Stripe publishable key", Key),
    known("pk_test_", "a Stripe publishable key for tests", Key),
    known("whsec_", "a webhook signing secret", Key),
    known("AKIA", "an AWS access key id", Key),
    known("ASIA", "an AWS temporary access key id", Key),
    known("ck_", "a WooCommerce consumer key", Key),
    known("cs_", "a WooCommerce consumer secret", Secret),
    known("shpat_", "a Shopify access token", Access),
    known("shpca_", "a Shopify custom app token", Access),
    known("shpss_", "a Shopify app secret", Secret),
    known("shprt_", "a Shopify refresh token", Refresh),
    known("ory_at_", "an Ory Hydra access token", Access),
    known("ory_rt_", "an Ory Hydra refresh token", Refresh),
    known("ory_ac_", "an Ory Hydra authorization code", Key),
    known("Atza|", "an Amazon access token", Access),
    known("Atzr|", "an Amazon refresh token", Refresh),
    known("EwB", "a Microsoft account access token", Access),
    known("M.C", "a Microsoft account refresh token", Refresh),
    known("M.R3_", "a Microsoft account refresh token", Refresh),
    known("v1.M", "an Auth0 refresh token", Refresh),
    known("EAA", "a Meta access token", Access),
    known("IGQ", "an Instagram access token", Access),
    known("SG.", "a SendGrid API key", Key),
    known("npm_", "an npm access token", Access),
    known("pypi-", "a PyPI API token", Key),
    known("dop_v1_", "a DigitalOcean personal access token", Access),
    known("doo_v1_", "a DigitalOcean OAuth token", Access),
    known("dor_v1_", "a DigitalOcean refresh token", Refresh),
    known("hvs.", "a Vault token", Access),
    known("pat-na1-", "a HubSpot private app token", Access),
    known("pat-eu1-", "a HubSpot private app token", Access),
    known("ATATT", "an Atlassian API token", Key),
    known("dckr_pat_", "a Docker personal access token", Access),
    known("hf_", "a Hugging Face access token", Access),
    known("figd_", "a Figma personal access token", Access),
    known("lin_api_", "a Linear API key", Key),
    known("glsa_", "a Grafana service account token", Access),
    known("sk-ant-", "an Anthropic API key", Key),
    known("sk-", "an API key", Key),
];

/// What this text is, by its first characters.
pub(super) fn find(text: &str) -> Option<&'static Known> {
    let one_word = || !text.contains(char::is_whitespace) && !text.contains(['{', '<']);
    KNOWN.iter().find(|known| {
        text.strip_prefix(known.prefix)
            .is_some_and(|rest| rest.len() >= REST_FROM)
            && one_word()
    })
}

/// Refresh tokens of the built-in issuer have one length and one first byte (version 1).
pub(super) fn is_tenure_refresh(text: &str) -> bool {
    text.len() == 76
        && tenure_jose::from_b64url(text).is_some_and(|bytes| bytes.first() == Some(&1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_prefix_is_hidden_behind_a_shorter_one() {
        for (at, known) in KNOWN.iter().enumerate() {
            assert!(
                !KNOWN[..at]
                    .iter()
                    .any(|before| known.prefix.starts_with(before.prefix)),
                "{}",
                known.prefix
            );
        }
    }

    #[test]
    fn words_are_no_tokens() {
        for text in ["SG.", "ck_short", "ya29. is how they begin", "M.Curie", ""] {
            assert!(find(text).is_none(), "{text}");
        }
        assert_eq!(
            find("ya29.a0AfH6SMBx1234").map(|known| known.sort),
            Some(Access)
        );
    }
}
