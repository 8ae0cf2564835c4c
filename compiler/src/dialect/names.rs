//! Names and wildcards of the dialects, and what each wildcard is in the pattern language.

use crate::check::{At, Check};
use crate::diagnostic::Code;
use fqdn_image::Pattern;

/// What a leading `*.` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Star {
    /// Exactly one label.
    One,
    /// One label or more.
    OneOrMore,
}

/// Reads a name with at most a leading `*.`. Labels begin and end with a letter or digit.
pub fn parse(text: &str, star: Star, least_labels: usize, underscore: bool) -> Result<Pattern, String> {
    let (prefix, name) = match text.strip_prefix("*.") {
        Some(name) => (if star == Star::One { "*." } else { "**." }, name),
        None => ("", text),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let labels: Vec<&str> = name.split('.').collect();
    for label in &labels {
        if let Some(c) = label.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '-' || (*c == '_' && underscore))) {
            return Err(match c {
                '*' => "`*` stands for whole labels at the beginning only, once".into(),
                c => format!("`{}` cannot stand in it", c.escape_default()),
            });
        }
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        if !edge(label.chars().next()) || !edge(label.chars().next_back()) {
            return Err("a label begins and ends with a letter or digit".into());
        }
    }
    if labels.len() < least_labels {
        return Err(format!("it needs {least_labels} labels"));
    }
    Pattern::parse(&format!("{prefix}{name}")).map_err(|error| error.to_string())
}

/// A name of Calico's.
pub fn of_calico(text: &str) -> Result<Pattern, String> {
    match text.strip_suffix('.') {
        Some(_) => Err("it ends with a dot".to_owned()),
        None => parse(text, Star::OneOrMore, 1, false),
    }
}

impl Check<'_> {
    /// The patterns of a list of names, or a finding for each that is none.
    pub(crate) fn domain_names(
        &mut self,
        list: At<'_>,
        names: &[String],
        parse: impl Fn(&str) -> Result<Pattern, String>,
    ) -> Option<Vec<Pattern>> {
        let mut patterns = Vec::new();
        let mut good = true;
        for (i, text) in names.iter().enumerate() {
            let at = list.index(i);
            match self.domain_name(at, text, &parse) {
                Some(pattern) => patterns.push(pattern),
                None => good = false,
            }
        }
        if good {
            self.lint_names(list, &patterns, false);
        }
        good.then_some(patterns)
    }

    /// One of them.
    pub(super) fn domain_name(
        &mut self,
        at: At<'_>,
        text: &str,
        parse: impl Fn(&str) -> Result<Pattern, String>,
    ) -> Option<Pattern> {
        match parse(text) {
            Ok(pattern) => {
                if !pattern.can_match() {
                    self.say(
                        Code::NeverMatches,
                        at,
                        at.node.span,
                        "this name can never match",
                        "longer than any name in DNS",
                        "",
                    );
                }
                Some(pattern)
            }
            Err(why) => {
                let message = format!("`{}` is no name of this kind of policy: {why}", text.escape_default());
                self.say(Code::BadPattern, at, at.node.span, message, "here", "");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wildcard_keeps_its_meaning() {
        let text = |t, star| parse(t, star, 1, true).map(|p| p.to_string());
        assert_eq!(text("*.X.com.", Star::One).unwrap(), "*.x.com");
        assert_eq!(text("*.x.com", Star::OneOrMore).unwrap(), "**.x.com");
        assert_eq!(text("a_b.x.com", Star::One).unwrap(), "a_b.x.com");
        for bad in ["", "*", "*.*.x", "a*.x", "x.*", "[.com", "_dmarc.x", "-a.x", "a-.x", "a..b", "é.com"] {
            assert!(text(bad, Star::One).is_err(), "{bad}");
        }
        assert!(parse("com", Star::OneOrMore, 2, true).is_err() && parse("a_b.c", Star::One, 1, false).is_err());
    }
}
