//! `tenure completions SHELL`, and the names that the scripts ask for.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::app::App;
use crate::args::Cli;
use crate::error::Outcome;
use crate::output::Output;

/// The commands whose first argument is a session.
const WITH_SESSION: &str = "login logout token request status events doctor";

/// Prints the script.
pub fn run(shell: Shell, out: Output) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tenure", &mut script);
    let script = String::from_utf8_lossy(&script);
    out.line(with_sessions(shell, script.trim_end()))
}

/// Prints the name of every session, one a line.
pub fn names(app: &App) -> Outcome {
    for spec in app.specs() {
        app.out.line(&spec.name)?;
    }
    Ok(())
}

/// The script with the sessions there are as values, where the shell can ask for them.
fn with_sessions(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => format!("{script}\n{}", bash()),
        Shell::Zsh => zsh(script),
        Shell::Fish => format!("{script}\n{}", fish()),
        _ => script.to_owned(),
    }
}

/// Around the function that was generated: it knows nothing of what is configured.
fn bash() -> String {
    format!(
        r#"
_tenure_sessions() {{
    _tenure "$@"
    local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}"
    case "$prev" in
        --session) COMPREPLY=() ;;
        {}) [[ "$COMP_CWORD" -eq 2 && "$cur" != -* ]] || return 0 ;;
        *) return 0 ;;
    esac
    COMPREPLY+=( $(compgen -W "$(tenure session-names 2>/dev/null)" -- "$cur") )
}}
complete -F _tenure_sessions -o nosort -o bashdefault -o default tenure 2>/dev/null ||
    complete -F _tenure_sessions -o bashdefault -o default tenure"#,
        WITH_SESSION.replace(' ', "|")
    )
}

/// Every argument that is a session asks the function put in front.
fn zsh(script: &str) -> String {
    const ASK: &str =
        "\n_tenure_sessions() {\n    compadd -- ${(f)\"$(tenure session-names 2>/dev/null)\"}\n}\n";
    let names_session = |line: &str| {
        [
            "':session -- The session:",
            "'::session -- Only ",
            "'::target -- The session",
            "'()--session=",
        ]
        .iter()
        .any(|start| line.starts_with(start))
    };
    let mut lines: Vec<String> = script
        .lines()
        .map(|line| {
            if names_session(line) {
                line.replace(":_default'", ":_tenure_sessions'")
            } else {
                line.to_owned()
            }
        })
        .collect();
    // After `#compdef`, which must come first.
    lines.insert(1.min(lines.len()), ASK.to_owned());
    lines.join("\n")
}

fn fish() -> String {
    let ask = |command: &str| {
        format!(
            "complete -c tenure -n \"__fish_tenure_using_subcommand {command}\" -f -a \"(tenure session-names 2>/dev/null)\"\n"
        )
    };
    let shells = "complete -c tenure -n \"__fish_tenure_using_subcommand completions\" -f -a \"bash elvish fish powershell zsh\"";
    WITH_SESSION.split(' ').map(ask).collect::<String>() + shells
}
