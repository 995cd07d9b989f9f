//! What a lane reads of another lane's registers: `NAME_from_lane(s, other)` of a struct NAME, or `NAME_across(s,
//! mask)` of the lane whose number differs in the bits of a mask, derived from its declaration.

/// The ways: what stands behind a struct's name, what the function takes, and WGSL's own function.
const WAYS: [(&str, &str, &str); 2] = [
    ("_from_lane", "other", "subgroupShuffle"),
    ("_across", "mask", "subgroupShuffleXor"),
];

/// The functions that are called, for structs of numbers, vectors and other such structs.
pub(super) fn derived(written: &[String]) -> String {
    WAYS.iter().map(|way| derived_of(*way, written)).collect()
}

fn derived_of((suffix, argument, built_in): (&str, &str, &str), written: &[String]) -> String {
    let mut text = String::new();
    let mut wanted: Vec<&str> = written.iter().flat_map(|own| called(own, suffix)).collect();
    let mut done: Vec<&str> = Vec::new();
    while let Some(name) = wanted.pop() {
        if done.contains(&name) {
            continue;
        }
        done.push(name);
        let Some(fields) = fields_of(written, name) else {
            continue; // the module has the compiler's word on it
        };
        let each: Vec<String> = fields
            .iter()
            .map(|&(field, of)| {
                if is_plain(of) {
                    format!("{built_in}(s.{field}, {argument})")
                } else {
                    wanted.push(of);
                    format!("{of}{suffix}(s.{field}, {argument})")
                }
            })
            .collect();
        let each = each.join(", ");
        text += &format!("fn {name}{suffix}(s: {name}, {argument}: u32) -> {name} {{ return {name}({each}); }}\n");
    }
    text
}

/// The structs whose functions a text calls.
fn called<'a>(text: &'a str, suffix: &str) -> impl Iterator<Item = &'a str> {
    text.match_indices(&format!("{suffix}("))
        .map(|(at, _)| at)
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(move |at| {
            let before = &text[..at];
            let start = before
                .rfind(|c: char| !c.is_alphanumeric() && c != '_')
                .map_or(0, |end| end + 1);
            (!before[..start].ends_with("fn ") && start < at).then_some(&before[start..])
        })
}

fn is_plain(of: &str) -> bool {
    matches!(of, "f32" | "u32" | "i32") || of.starts_with("vec")
}

/// Names and types of a struct's fields, or of the struct that it is another name of.
fn fields_of<'a>(written: &'a [String], name: &str) -> Option<Vec<(&'a str, &'a str)>> {
    let alias = format!("alias {name} = ");
    let other = written
        .iter()
        .flat_map(|text| text.lines())
        .find_map(|line| line.strip_prefix(&*alias));
    if let Some(other) = other {
        return fields_of(written, other.trim_end_matches(';'));
    }
    let head = format!("struct {name} {{");
    let text = written.iter().find(|text| text.lines().any(|line| line == head))?;
    let body = text
        .lines()
        .skip_while(|line| *line != head)
        .skip(1)
        .take_while(|line| *line != "}");
    let field = |line: &'a str| {
        let declared = line.split("//").next().unwrap_or(line).trim().trim_end_matches(',');
        declared.split_once(": ")
    };
    Some(body.filter_map(field).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_follow_from_declarations() {
        let all = [
            "struct State {\n    sum: f32,\n    norm: Norm, // of a row\n    words: vec2<u32>,\n}\n".to_string(),
            "struct Norm {\n    top: u32, // bits\n}\nfn tree(s: State) { return State_from_lane(s, 1u); }\n"
                .to_string(),
        ];
        let expected = "fn State_from_lane(s: State, other: u32) -> State { return State(subgroupShuffle(s.sum, other), \
                        Norm_from_lane(s.norm, other), subgroupShuffle(s.words, other)); }\n\
                        fn Norm_from_lane(s: Norm, other: u32) -> Norm { return Norm(subgroupShuffle(s.top, other)); }\n";
        assert_eq!(derived(&all), expected);
        assert_eq!(derived(&all[..1]), "");
    }

    #[test]
    fn a_struct_across() {
        let all = ["struct State {\n    sum: f32,\n}\nlet a = State_across(b, 16u);\n".to_string()];
        let expected =
            "fn State_across(s: State, mask: u32) -> State { return State(subgroupShuffleXor(s.sum, mask)); }\n";
        assert_eq!(derived(&all), expected);
    }

    #[test]
    fn a_struct_of_another_name() {
        let all = [
            "alias State = Fault;\nstruct Fault {\n    count: u32,\n}\nlet a = State_from_lane(b, 0u);\n".to_string(),
        ];
        let expected =
            "fn State_from_lane(s: State, other: u32) -> State { return State(subgroupShuffle(s.count, other)); }\n";
        assert_eq!(derived(&all), expected);
    }
}
