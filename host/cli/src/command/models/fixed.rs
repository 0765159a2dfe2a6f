//! `--shape` and `--constant`: what is fixed about a model.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use clap::Args;
use spillway_types::api::Constant;

/// As `shapes` and `constants` under `[models.NAME]` of a manifest.
#[derive(Debug, Args)]
pub(super) struct Fixed {
    /// Give an input the lengths of all its axes; nothing after `=` for a scalar
    #[arg(long = "shape", value_name = "INPUT=LENGTH,LENGTH,...", value_parser = shape)]
    shapes: Vec<(String, Vec<NonZeroU32>)>,

    /// Turn an input into a constant: a number, true or false
    #[arg(long = "constant", value_name = "INPUT=VALUE", value_parser = constant)]
    constants: Vec<(String, Constant)>,
}

type Shapes = BTreeMap<String, Vec<NonZeroU32>>;
type Constants = BTreeMap<String, Constant>;

impl Fixed {
    /// Shapes and constants by input.
    ///
    /// # Errors
    /// An option is given twice for one input.
    pub(super) fn by_name(&self) -> anyhow::Result<(Shapes, Constants)> {
        Ok((by_name(&self.shapes, "shape")?, by_name(&self.constants, "constant")?))
    }
}

/// `NAME=1,576`.
fn shape(text: &str) -> Result<(String, Vec<NonZeroU32>), String> {
    let example = "write the lengths of all axes, as in `image=1,3,224,224`";
    let (name, lengths) = text.rsplit_once('=').ok_or(example)?;
    let length = |length: &str| {
        let wrong = |_| format!("`{length}` is no length of an axis, 1 to {}; {example}", u32::MAX);
        length.trim().parse().map_err(wrong)
    };
    let lengths = lengths.split(',').filter(|_| !lengths.is_empty()).map(length).collect::<Result<_, _>>()?;
    Ok((name.to_owned(), lengths))
}

/// `NAME=16000`, `NAME=0.5`, `NAME=true`.
fn constant(text: &str) -> Result<(String, Constant), String> {
    let example = "write a number, true or false, as in `rate=16000`";
    let (name, value) = text.rsplit_once('=').ok_or(example)?;
    let flag = || value.parse().map(Constant::Boolean).ok();
    let integer = || value.parse().map(Constant::Integer).ok();
    let float = || value.parse().ok().filter(|number: &f64| number.is_finite()).map(Constant::Float);
    let constant =
        flag().or_else(integer).or_else(float).ok_or_else(|| format!("`{value}` is no constant; {example}"))?;
    Ok((name.to_owned(), constant))
}

fn by_name<T: Clone>(given: &[(String, T)], option: &str) -> anyhow::Result<BTreeMap<String, T>> {
    let mut named = BTreeMap::new();
    for (name, value) in given {
        if named.insert(name.clone(), value.clone()).is_some() {
            anyhow::bail!("--{option} is given twice for `{name}`; give it once");
        }
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_with_all_their_lengths() {
        let lengths = |text| shape(text).map(|(name, lengths)| (name, lengths.iter().map(|x| x.get()).collect()));
        assert_eq!(lengths("x=1,576"), Ok(("x".to_owned(), vec![1, 576])));
        assert_eq!(lengths("a.b=3"), Ok(("a.b".to_owned(), vec![3])));
        assert_eq!(lengths("x="), Ok(("x".to_owned(), vec![])));
        for (text, offender) in [("x=0", "`0`"), ("x=1,two", "`two`"), ("x=1,", "``"), ("x=4294967296", "`4294967296`")]
        {
            let error = lengths(text).unwrap_err();
            assert!(error.starts_with(offender) && error.contains("image=1,3,224,224"), "{error}");
        }
        assert!(lengths("x").is_err());
    }

    #[test]
    fn constants_are_whole_numbers_fractions_and_truth_values() {
        for (text, expected) in [
            ("sr=16000", Constant::Integer(16_000)),
            ("sr=-1", Constant::Integer(-1)),
            ("sr=5e-1", Constant::Float(0.5)),
            ("sr=true", Constant::Boolean(true)),
        ] {
            assert_eq!(constant(text), Ok(("sr".to_owned(), expected)));
        }
        for text in ["sr=", "sr=fast", "sr=nan", "sr"] {
            let error = constant(text).unwrap_err();
            assert!(error.contains("rate=16000"), "{error}");
        }
    }

    #[test]
    fn an_option_given_twice_for_one_input_is_refused() {
        let error = by_name(&[("x".to_owned(), 1), ("x".to_owned(), 2)], "shape").unwrap_err().to_string();
        assert_eq!(error, "--shape is given twice for `x`; give it once");
    }
}
