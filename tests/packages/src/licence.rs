//! Licence expressions, as Cargo.toml has them: `(MIT OR Apache-2.0) AND Unicode-3.0`.

/// Whether what is `accepted` suffices for an expression. `/` is an old way to say `OR`.
pub fn allows(expression: &str, accepted: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut words = words.as_slice();
    any(&mut words, accepted) && words.is_empty()
}

fn any(words: &mut &[&str], accepted: &[&str]) -> bool {
    let mut fits = all(words, accepted);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        fits |= all(words, accepted);
    }
    fits
}

fn all(words: &mut &[&str], accepted: &[&str]) -> bool {
    let mut fits = one(words, accepted);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        fits &= one(words, accepted);
    }
    fits
}

fn one(words: &mut &[&str], accepted: &[&str]) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let fits = any(words, accepted);
            *words = words.strip_prefix(&[")"]).unwrap_or_default();
            fits
        }
        [id, "WITH", exception, rest @ ..] => {
            *words = rest;
            accepted.contains(&format!("{id} WITH {exception}").as_str())
        }
        [id, rest @ ..] => {
            *words = rest;
            accepted.contains(id)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::allows;

    #[test]
    fn expressions() {
        let mit = |expression| allows(expression, &["MIT", "A WITH B"]);
        for yes in ["MIT", "GPL-3.0 OR MIT", "GPL-3.0/MIT", "(MIT OR X) AND MIT", "X OR A WITH B"] {
            assert!(mit(yes), "{yes}");
        }
        for no in
            ["", "none", "GPL-3.0", "MIT AND X", "(MIT OR X) AND X", "A", "A WITH C", "MIT MIT"]
        {
            assert!(!mit(no), "{no}");
        }
    }
}
