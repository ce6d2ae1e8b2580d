//! How one session is kept.

/// Whether a session is refreshed without traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Keep {
    /// Refreshed when due, traffic or none, so that nothing dies of inactivity.
    #[default]
    Warm,
    /// Refreshed only when somebody wants a token.
    Lazy,
}

/// When a pair is due for its refresh.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum RefreshAt {
    /// By the rule of DESIGN §5.
    #[default]
    Auto,
    /// At this fraction of the lifetime, 0–1 exclusive.
    Fraction(f64),
    /// This many milliseconds before the end.
    Before(u64),
}

/// How one session is kept. Times in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// With or without traffic.
    pub keep: Keep,
    /// When a pair is due.
    pub refresh_at: RefreshAt,
    /// First wait after a passing failure.
    pub backoff_min_ms: u64,
    /// Longest wait after passing failures.
    pub backoff_max_ms: u64,
    /// Whether a refresh spends the refresh token (every rotation behaviour but `none`).
    pub spends: bool,
    /// Whether an exchange of unknown outcome may be tried again at once (profile).
    pub retry_unknown: bool,
    /// Idle life of the refresh token, when the profile knows one: it is refreshed before half of it is over.
    pub idle_ms: Option<u64>,
    /// Whether the session can log itself in without a pair (client credentials, a stored password).
    pub self_login: bool,
    /// A refusal found at the start that others than the user were to put right is tried once more: whoever
    /// started the keeper may have done so because it was put right.
    pub second_try: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            keep: Keep::Warm,
            refresh_at: RefreshAt::Auto,
            backoff_min_ms: 1_000,
            backoff_max_ms: 60_000,
            spends: true,
            retry_unknown: true,
            idle_ms: None,
            self_login: false,
            second_try: false,
        }
    }
}
