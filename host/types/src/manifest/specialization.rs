//! `shapes` and `constants` of `[models.NAME]`, read and written.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::section::Section;
use crate::{Scalar, Specialization};

const SHAPE_EXAMPLE: &str = "shapes = { image = [1, 3, 224, 224] }";
const CONSTANT_EXAMPLE: &str = "constants = { rate = 16000 }";

/// Reads what `section` fixes about its model.
pub(super) fn read(section: &Section<'_>) -> Specialization {
    let mut shapes = BTreeMap::new();
    for (name, value) in section.entries("shapes") {
        let Some(items) = value.get_ref().as_array() else {
            section.wrong_type(name.get_ref(), value, &format!("the lengths of all axes, as in {SHAPE_EXAMPLE}"));
            continue;
        };
        let lengths = items.iter().filter_map(|item| {
            let Some(number) = item.get_ref().as_integer() else {
                section.wrong_type(name.get_ref(), item, &format!("whole numbers, as in {SHAPE_EXAMPLE}"));
                return None;
            };
            let length = integer(number).and_then(|length| u32::try_from(length).ok()).filter(|length| *length > 0);
            if length.is_none() {
                let message = format!(
                    "`{}` in the shape of `{}` is no length of an axis; 1 to {} is allowed",
                    number.as_str(),
                    name.get_ref(),
                    u32::MAX
                );
                section.report(item.span().start, message);
            }
            length
        });
        shapes.insert(name.get_ref().to_string(), lengths.collect());
    }
    let mut constants = BTreeMap::new();
    for (name, value) in section.entries("constants") {
        let scalar = match value.get_ref() {
            DeValue::Boolean(flag) => Some(Scalar::Boolean(*flag)),
            DeValue::Float(number) => number.as_str().replace('_', "").parse().ok().map(Scalar::from_f64),
            DeValue::Integer(number) => integer(number).map(Scalar::Integer),
            _ => {
                let wanted = format!("a number, true or false, which all its elements get, as in {CONSTANT_EXAMPLE}");
                section.wrong_type(name.get_ref(), value, &wanted);
                continue;
            }
        };
        match scalar {
            Some(scalar) => {
                constants.insert(name.get_ref().to_string(), scalar);
            }
            None => section.report(
                value.span().start,
                format!("constant `{}` does not fit into 64 bits; write a smaller number", name.get_ref()),
            ),
        }
    }
    Specialization { shapes, constants }
}

fn integer(number: &toml::de::DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
}

/// The lines of a bundle's manifest that say it again, in one order and one spelling.
pub(super) fn lines(specialization: &Specialization) -> Vec<String> {
    let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let shapes = specialization.shapes.iter().map(|(name, shape)| format!("{} = {shape:?}", quote(name)));
    let constants = specialization.constants.iter().map(|(name, value)| format!("{} = {value}", quote(name)));
    let table = |key: &str, entries: Vec<String>| format!("{key} = {{ {} }}", entries.join(", "));
    [("shapes", shapes.collect::<Vec<_>>()), ("constants", constants.collect())]
        .into_iter()
        .filter(|(_, entries)| !entries.is_empty())
        .map(|(key, entries)| table(key, entries))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Manifest, Origin};
    use super::*;

    fn manifest(lines: &str) -> String {
        format!(
            "spillway = 1\nname = \"a\"\nversion = \"0.1.0\"\n[[routes]]\npath = \"/a\"\n[models.m]\npath = \"m.onnx\"\n{lines}"
        )
    }

    fn parse(lines: &str) -> Specialization {
        let manifest = Manifest::parse(&manifest(lines), Origin::Source).unwrap_or_else(|error| panic!("{error}"));
        manifest.models.into_values().next().unwrap().specialization
    }

    #[test]
    fn shapes_and_constants_are_read_inline_and_as_tables() {
        let inline =
            parse("shapes = { x = [1, 576], \"a.b\" = [] }\nconstants = { sr = 16_000, scale = 0.5, on = true }");
        let tables = parse(
            "[models.m.shapes]\nx = [1, 0x240]\n\"a.b\" = []\n[models.m.constants]\nsr = 16000\nscale = 5e-1\non = true",
        );
        assert_eq!(inline, tables);
        assert_eq!(inline.shapes["x"], [1, 576]);
        assert_eq!(inline.constants["sr"], Scalar::Integer(16000));
        assert_eq!(inline.constants["scale"], Scalar::from_f64(0.5));
        assert_eq!(inline.constants["on"], Scalar::Boolean(true));
    }

    #[test]
    fn a_bundle_says_it_in_one_spelling_that_reads_back_the_same() {
        let specialization = parse(
            "constants = { sr = 0x3e80, big = 1e300, tiny = 5e-324, n = -nan, i = -inf, one = 1.0, no = false }\n\
             shapes = { \"odd \\\"name\\\"\" = [3], b = [1, 2] }",
        );
        let text = lines(&specialization).join("\n");
        let expected = r#"
shapes = { "b" = [1, 2], 'odd "name"' = [3] }
constants = { "big" = 1e300, "i" = -inf, "n" = nan, "no" = false, "one" = 1.0, "sr" = 16000, "tiny" = 5e-324 }"#;
        assert_eq!(text, expected.trim_start());
        assert_eq!(parse(&text), specialization);
    }

    #[test]
    fn wrong_values_are_reported_all_at_once_with_their_lines() {
        let text = manifest(
            "[models.m.shapes]\nx = 3\ny = [1, \"two\",\n0, 4294967296]\n[models.m.constants]\nsr = \"16000\"\n\
             z = [1]\nbig = 9223372036854775808\n[models.n]\npath = \"n.onnx\"\nshape = {}\nconstants = 1",
        );
        let error = Manifest::parse(&text, Origin::Source).unwrap_err();
        let found: Vec<_> = error.diagnostics.iter().map(ToString::to_string).collect();
        let expected = [
            "spillway.toml:9: `x` is of type integer; write the lengths of all axes, as in shapes = { image = [1, 3, 224, 224] }",
            "spillway.toml:10: `y` is of type string; write whole numbers, as in shapes = { image = [1, 3, 224, 224] }",
            "spillway.toml:11: `0` in the shape of `y` is no length of an axis; 1 to 4294967295 is allowed",
            "spillway.toml:11: `4294967296` in the shape of `y` is no length of an axis; 1 to 4294967295 is allowed",
            "spillway.toml:13: `sr` is of type string; write a number, true or false, which all its elements get, as in constants = { rate = 16000 }",
            "spillway.toml:14: `z` is of type array; write a number, true or false, which all its elements get, as in constants = { rate = 16000 }",
            "spillway.toml:15: constant `big` does not fit into 64 bits; write a smaller number",
            "spillway.toml:18: unknown key `shape` in [models.n]; did you mean `shapes`?",
            "spillway.toml:19: `constants` is of type integer; write a table, as in [models.n.constants]",
        ];
        assert_eq!(found, expected);
    }
}
