//! The FAILURE object as a JSON Schema, made from the vocabulary itself.

use serde_json::{Value, json};
use tenure_core::{Class, Code, Heal, Who};

/// JSON Schema (draft 2020-12) of FAILURE, the same object on every surface (DESIGN §12).
pub fn failure_schema() -> Value {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let classes: Vec<&str> = Class::ALL.iter().map(|class| class.as_str()).collect();
    let heals: Vec<&str> = Heal::ALL.iter().map(|heal| heal.as_str()).collect();
    let whos: Vec<&str> = Who::ALL.iter().map(|who| who.as_str()).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Failure",
        "description": "A named failure: what happened, on which evidence, what heals it and who has to act.",
        "type": "object",
        "required": [
            "code", "title", "class", "cause", "heal", "who", "detail", "evidence", "because", "rule", "page", "command"
        ],
        "properties": {
            "code": { "enum": codes, "description": "Stable; its meaning never changes." },
            "title": { "type": "string", "description": "English title of the code." },
            "class": { "enum": classes },
            "cause": { "type": "string", "pattern": "^[a-z0-9_]+$", "description": "Finer cause; an open set." },
            "heal": { "enum": heals, "description": "The first step that can heal it." },
            "who": { "enum": whos, "description": "Who has to take that step." },
            "detail": { "type": "string", "description": "One sentence for a person." },
            "evidence": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["kind", "value", "source"],
                    "properties": {
                        "kind": { "type": "string" },
                        "value": { "type": "string", "description": "Never a secret." },
                        "source": { "type": "string" }
                    }
                }
            },
            "because": {
                "anyOf": [{ "$ref": "#" }, { "type": "null" }],
                "description": "The failure underneath."
            },
            "rule": { "type": "string", "description": "The rule that named it." },
            "page": { "type": "string", "description": "Path of the code's page on the admin address." },
            "command": { "type": ["string", "null"], "description": "What to type, if anything." }
        }
    })
}

#[cfg(test)]
mod tests {
    use tenure_core::Failure;

    use super::*;

    #[test]
    fn a_failure_has_exactly_the_fields_of_the_schema() {
        let failure = Failure::new(
            Code::RefreshFailed,
            Class::RefreshFailed,
            "test",
            Heal::RetryLater,
            Who::Tenure,
            "",
        );
        let value = serde_json::to_value(failure).expect("plain data");
        let schema = failure_schema();
        let fields: Vec<&String> = value.as_object().expect("an object").keys().collect();
        let required: Vec<&str> = schema["required"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|name| name.as_str().expect("text"))
            .collect();
        assert_eq!(fields, required);
        for name in required {
            assert!(!schema["properties"][name].is_null(), "{name}");
        }
    }
}
