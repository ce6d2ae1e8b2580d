//! How the flows went, as a table.

use std::fmt;

use serde_json::Value;

use super::issuer::Setting;

/// What a script says of one flow.
pub(super) struct Line {
    client: String,
    flow: String,
    /// Why it failed.
    problem: Option<String>,
}

impl Line {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("a script wrote what is no result: {text}");
        let value: Value = serde_json::from_str(text).map_err(|_| wrong())?;
        let field = |name: &str| value[name].as_str().map(str::to_owned);
        Ok(Self {
            client: field("client").ok_or_else(wrong)?,
            flow: field("flow").ok_or_else(wrong)?,
            problem: field("problem"),
        })
    }
}

/// Every flow of every run.
#[derive(Default)]
pub(super) struct Report {
    rows: Vec<(String, Line)>,
}

impl Report {
    pub(super) fn add(&mut self, setting: &Setting, lines: Vec<Line>) {
        let rows = lines.into_iter().map(|line| (setting.to_string(), line));
        self.rows.extend(rows);
    }

    pub(super) fn is_good(&self) -> bool {
        !self.rows.is_empty() && self.failed().next().is_none()
    }

    fn failed(&self) -> impl Iterator<Item = &(String, Line)> {
        self.rows.iter().filter(|(_, line)| line.problem.is_some())
    }

    fn width(&self, of: impl Fn(&(String, Line)) -> &str) -> usize {
        let widths = self.rows.iter().map(|row| of(row).chars().count());
        widths.max().unwrap_or(0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.width(|(_, line)| &line.client).max("CLIENT".len());
        let flow = self.width(|(_, line)| &line.flow).max("FLOW".len());
        let issuer = self.width(|(setting, _)| setting).max("ISSUER".len());
        writeln!(
            f,
            "{:client$}  {:flow$}  {:issuer$}  RESULT",
            "CLIENT", "FLOW", "ISSUER"
        )?;
        for (setting, line) in &self.rows {
            let result = if line.problem.is_some() {
                "FAILED"
            } else {
                "passed"
            };
            let Line {
                client: who,
                flow: what,
                ..
            } = line;
            writeln!(
                f,
                "{who:client$}  {what:flow$}  {setting:issuer$}  {result}"
            )?;
        }
        for (setting, line) in self.failed() {
            let problem = line.problem.as_deref().unwrap_or_default();
            writeln!(f, "\n{}, {}, {setting}:\n{problem}", line.client, line.flow)?;
        }
        writeln!(
            f,
            "xtask strangers: {} flows, {} failed",
            self.rows.len(),
            self.failed().count()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ES256: Setting = Setting {
        alg: "ES256",
        nonces: false,
    };

    fn report(lines: &[&str]) -> Report {
        let mut report = Report::default();
        let lines = lines.iter().map(|line| Line::read(line).expect("a result"));
        report.add(&ES256, lines.collect());
        report
    }

    #[test]
    fn one_failure_is_enough_and_is_told_in_full() {
        let good = r#"{"client":"a","flow":"login"}"#;
        let bad = r#"{"client":"b","flow":"logout","problem":"no answer"}"#;
        assert!(report(&[good]).is_good());
        let mixed = report(&[good, bad]);
        assert!(!mixed.is_good());
        let text = mixed.to_string();
        assert!(text.contains("b, logout, ES256:\nno answer"), "{text}");
        assert!(text.ends_with("2 flows, 1 failed\n"), "{text}");
    }

    #[test]
    fn nothing_is_not_good() {
        assert!(!Report::default().is_good());
        assert!(Line::read("done").is_err() && Line::read("{}").is_err());
    }
}
