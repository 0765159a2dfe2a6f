use std::collections::HashMap;
use std::fmt;

#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    Number(f64),
    Name(String),
    Operator(char),
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Number(value) => write!(f, "{value}"),
            Token::Name(name) => write!(f, "{name}"),
            Token::Operator(operator) => write!(f, "{operator}"),
        }
    }
}

pub fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut chars = text.chars().peekable();
    let mut found = Vec::new();
    while let Some(&c) = chars.peek() {
        match c {
            ' ' => drop(chars.next()),
            '+' | '-' | '*' | '/' => found.push(Token::Operator(chars.next().unwrap())),
            c if c.is_alphabetic() => {
                let mut name = String::new();
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric()) {
                    name.push(c);
                }
                found.push(Token::Name(name));
            }
            other => return Err(format!("unexpected {other:?}")),
        }
    }
    let _names: HashMap<String, usize> = HashMap::new();
    Ok(found)
}
