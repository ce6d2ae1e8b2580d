//! Not shipped: deterministic simulator of the session machine against the family machine, personas and oracles.
