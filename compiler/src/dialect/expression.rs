//! Calico's selector expressions (libcalico-go/lib/selector), as alternatives of label selectors.
//!
//! ```text
//! expr := and ("||" and)*     and := op ("&&" op)*     op := "!"* ( "(" expr ")" | "all()" | "has(" label ")" | label cmp )
//! cmp  := "==" str | "!=" str | "in" set | "not in" set
//! ```
//! `!=` and `not in` hold where the label is absent. What looks into a value (`contains` and the like) is refused.

use fqdn_image::labels::{Requirement, Selector, check_word};
use std::collections::BTreeSet;

/// Alternatives of an expression, at most: beyond that it is refused.
const ALTERNATIVES: usize = 64;

/// A conjunction.
type All = Vec<Requirement>;

/// The selectors of which one must hold; `label` says what a label is called here.
pub fn parse(text: &str, label: &impl Fn(&str) -> Option<String>) -> Result<Vec<Selector>, String> {
    let mut parser = Parser { rest: text.trim_matches([' ', '\t']), label, depth: 0 };
    if parser.rest.is_empty() {
        return Ok(vec![Selector::default()]);
    }
    let alternatives = parser.expression(false)?;
    if !parser.rest.is_empty() {
        return Err(format!("`{}` does not belong there", parser.rest.escape_default()));
    }
    let selector = |all: All| {
        let mut selector = Selector::default();
        all.into_iter().for_each(|requirement| selector.require(requirement));
        selector
    };
    Ok(alternatives.into_iter().map(selector).collect())
}

struct Parser<'a, L> {
    rest: &'a str,
    label: &'a L,
    depth: usize,
}

impl<'a, L: Fn(&str) -> Option<String>> Parser<'a, L> {
    fn take(&mut self, token: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(token) else { return false };
        self.rest = rest.trim_start_matches([' ', '\t']);
        true
    }

    /// `negated`: the opposite of what is read (De Morgan).
    fn expression(&mut self, negated: bool) -> Result<Vec<All>, String> {
        let mut alternatives = self.conjunction(negated)?;
        while self.take("||") {
            let next = self.conjunction(negated)?;
            alternatives = if negated { both(&alternatives, &next)? } else { either(alternatives, next)? };
        }
        Ok(alternatives)
    }

    fn conjunction(&mut self, negated: bool) -> Result<Vec<All>, String> {
        let mut alternatives = self.operand(negated)?;
        while self.take("&&") {
            let next = self.operand(negated)?;
            alternatives = if negated { either(alternatives, next)? } else { both(&alternatives, &next)? };
        }
        Ok(alternatives)
    }

    fn operand(&mut self, mut negated: bool) -> Result<Vec<All>, String> {
        while self.take("!") {
            negated = !negated;
        }
        if self.take("(") {
            self.depth += 1;
            if self.depth > 32 {
                return Err("it is nested deeper than 32 levels".into());
            }
            let inner = self.expression(negated)?;
            self.depth -= 1;
            return if self.take(")") { Ok(inner) } else { Err("`)` is missing".into()) };
        }
        if self.take("all()") {
            return Ok(if negated { Vec::new() } else { vec![All::new()] });
        }
        if self.rest.starts_with("global()") {
            return Err("`global()` selects no workload".into());
        }
        if self.take("has(") {
            let key = self.key()?;
            if !self.take(")") {
                return Err("`)` is missing".into());
            }
            return Ok(one(if negated { Requirement::DoesNotExist(key) } else { Requirement::Exists(key) }));
        }
        let key = self.key()?;
        let (values, holds) = if self.take("==") {
            (self.string()?, true)
        } else if self.take("!=") {
            (self.string()?, false)
        } else if self.take("not in") || self.take("notin") {
            (self.set()?, false)
        } else if self.take("in") {
            (self.set()?, true)
        } else {
            let word = self.rest.split([' ', '\t']).next().unwrap_or("");
            return Err(match word {
                "contains" | "starts" | "startswith" | "ends" | "endswith" => format!("`{word}` cannot be enforced here"),
                _ => format!("`==`, `!=`, `in` or `not in` is missing after `{key}`"),
            });
        };
        if values.is_empty() {
            return Ok(if holds == negated { vec![All::new()] } else { Vec::new() });
        }
        Ok(one(if holds == negated { Requirement::NotIn(key, values) } else { Requirement::In(key, values) }))
    }

    fn key(&mut self) -> Result<String, String> {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_./-".contains(c))).unwrap_or(self.rest.len());
        let (key, rest) = self.rest.split_at(end);
        if key.is_empty() {
            return Err(match rest.chars().next() {
                Some(c) => format!("a label is missing before `{}`", c.escape_default()),
                None => "a label is missing at the end".into(),
            });
        }
        self.rest = rest.trim_start_matches([' ', '\t']);
        (self.label)(key).ok_or_else(|| format!("the label `{key}` is not known here"))
    }

    fn string(&mut self) -> Result<BTreeSet<String>, String> {
        let quote = self.rest.chars().next().filter(|c| *c == '"' || *c == '\'').ok_or("a value in quotes is missing")?;
        let body = &self.rest[1..];
        let end = body.find(quote).ok_or("a quote is missing at the end")?;
        let value = &body[..end];
        if !value.is_empty() {
            check_word(value).map_err(|why| format!("`{}` is no label value: {why}", value.escape_default()))?;
        }
        self.rest = body[end + 1..].trim_start_matches([' ', '\t']);
        Ok([value.to_owned()].into())
    }

    fn set(&mut self) -> Result<BTreeSet<String>, String> {
        if !self.take("{") {
            return Err("`{` is missing".into());
        }
        let mut values = BTreeSet::new();
        while !self.take("}") {
            values.extend(self.string()?);
            if !self.take(",") && !self.rest.starts_with('}') {
                return Err("`}` is missing".into());
            }
        }
        Ok(values)
    }
}

fn one(requirement: Requirement) -> Vec<All> {
    vec![vec![requirement]]
}

fn either(mut a: Vec<All>, b: Vec<All>) -> Result<Vec<All>, String> {
    a.extend(b);
    bounded(a)
}

fn both(a: &[All], b: &[All]) -> Result<Vec<All>, String> {
    if a.len() * b.len() > ALTERNATIVES {
        return bounded(vec![All::new(); a.len() * b.len()]);
    }
    Ok(a.iter().flat_map(|a| b.iter().map(move |b| [a.as_slice(), b.as_slice()].concat())).collect())
}

fn bounded(alternatives: Vec<All>) -> Result<Vec<All>, String> {
    if alternatives.len() > ALTERNATIVES {
        Err(format!("it has more than {ALTERNATIVES} alternatives"))
    } else {
        Ok(alternatives)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fqdn_image::labels::Labels;

    fn selects(text: &str, labels: &str) -> bool {
        let alternatives = parse(text, &|k: &str| Some(k.to_owned())).unwrap();
        let labels = Labels::parse(labels, "n").unwrap();
        alternatives.iter().any(|selector| selector.selects(&labels))
    }

    #[test]
    fn expressions_mean_what_calico_means() {
        assert!(selects("", "a=1") && selects("all()", "") && !selects("!all()", "a=1"));
        assert!(selects("a == '1' && b in {\"2\", '3',}", "a=1,b=3") && !selects("a == '1' && b in {'2'}", "a=1"));
        assert!(selects("a != '1'", "b=1") && selects("a not in {'1'}", "") && !selects("a notin {'1'}", "a=1"));
        assert!(selects("!(a == '1' || has(b))", "c=1") && !selects("!(a == '1' || has(b))", "b=1"));
        assert!(selects("!(a == '1' && has(b))", "a=1") && !selects("!(a == '1' && has(b))", "a=1,b=1"));
        assert!(selects("a=='1'||b=='2'&&c=='3'", "a=1") && !selects("(a=='1'||b=='2')&&c=='3'", "a=1"));
        assert!(!selects("a in {}", "a=1") && selects("a not in {}", "a=1") && selects("!!has(a)", "a=1"));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in [
            "a",
            "a ==",
            "a == 1",
            "a == 'x",
            "has(a",
            "(a == '1'",
            "a == '1' b",
            "global()",
            "a contains 'x'",
            "a in 'x'",
            "&& a",
            "a == 'x y'",
        ] {
            assert!(parse(text, &|k: &str| Some(k.to_owned())).is_err(), "{text}");
        }
        let many = (0..9).map(|i| format!("(a{i} == '1' || b{i} == '1')")).collect::<Vec<_>>().join(" && ");
        assert!(parse(&many, &|k: &str| Some(k.to_owned())).unwrap_err().contains("alternatives"));
        assert!(parse(&"(".repeat(5000), &|k: &str| Some(k.to_owned())).is_err());
    }
}
