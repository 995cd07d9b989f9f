//! Shapes and dtypes that a place takes, and shapes that have to go together: where they do not, the odd one is named.

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::view::View;

/// Tensors of a message: their names and shapes.
pub(crate) type Named<'a> = (&'static str, &'a [usize]);

/// The shape that shapes broadcast to, as PyTorch has it.
pub(crate) fn broadcast(shapes: &[Named<'_>]) -> Result<Vec<usize>> {
    joint(shapes).ok_or_else(|| {
        let (name, shape, others) = odd_one(shapes, |rest| joint(rest).is_some());
        Error::operand(name, format!("shape {shape:?} does not broadcast with {others}"))
    })
}

/// What shapes broadcast to, where they do.
fn joint(shapes: &[Named<'_>]) -> Option<Vec<usize>> {
    let mut joint: Vec<usize> = Vec::new(); // from the last dimension on
    for (_, shape) in shapes {
        for (d, &size) in shape.iter().rev().enumerate() {
            match joint.get_mut(d) {
                None => joint.push(size),
                Some(own) if *own == 1 => *own = size,
                Some(own) if size != 1 && size != *own => return None,
                Some(_) => {}
            }
        }
    }
    joint.reverse();
    Some(joint)
}

/// Refuses shapes that differ.
pub(crate) fn expect_same(shapes: &[Named<'_>]) -> Result<()> {
    let same = |all: &[Named<'_>]| all.windows(2).all(|pair| pair[0].1 == pair[1].1);
    if same(shapes) {
        return Ok(());
    }
    let (name, shape, others) = odd_one(shapes, same);
    Err(Error::operand(
        name,
        format!("expected the shape of {others}, got {shape:?}"),
    ))
}

/// Which of some tensors that do not go together is the one to name, with the others as a list: the one without which
/// the others agree. Where that is any of them, or none, it is the last.
pub(crate) fn odd_one<'a>(
    shapes: &[Named<'a>],
    agree: impl Fn(&[Named<'a>]) -> bool,
) -> (&'static str, &'a [usize], String) {
    let without = |place: usize| [&shapes[..place], &shapes[place + 1..]].concat();
    let odd = (0..shapes.len()).rev().find(|&place| agree(&without(place)));
    let odd = odd.unwrap_or(shapes.len().saturating_sub(1));
    let others: Vec<_> = without(odd)
        .iter()
        .map(|(name, shape)| format!("{name} {shape:?}"))
        .collect();
    (shapes[odd].0, shapes[odd].1, others.join(" and "))
}

/// Refuses a dtype that a place does not take.
pub(crate) fn expect_dtype(name: &'static str, view: &View, allowed: &[Dtype]) -> Result<()> {
    if allowed.contains(&view.dtype) {
        return Ok(());
    }
    let mut allowed: Vec<_> = allowed.iter().map(|d| d.name()).collect();
    allowed.dedup();
    Err(Error::operand(
        name,
        format!("expected dtype {}, got {}", allowed.join(" or "), view.dtype),
    ))
}

/// Refuses a shape that a place does not take.
pub(crate) fn expect_shape(name: &'static str, view: &View, wanted: &[usize], why: &str) -> Result<()> {
    if view.shape == wanted {
        return Ok(());
    }
    Err(Error::operand(
        name,
        format!("expected shape {wanted:?} {why}, got {:?}", view.shape),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odd(shapes: &[&[usize]]) -> Option<&'static str> {
        let names = ["first", "second", "third"];
        let named: Vec<_> = names.into_iter().zip(shapes.iter().copied()).collect();
        match broadcast(&named) {
            Err(Error::Operand { name, .. }) => Some(name),
            _ => None,
        }
    }

    #[test]
    fn the_one_that_the_others_agree_without_is_named() {
        assert_eq!(odd(&[&[2, 1], &[3], &[2, 3]]), None);
        assert_eq!(odd(&[&[2, 3], &[2]]), Some("second"));
        assert_eq!(odd(&[&[4, 3], &[4, 3], &[4]]), Some("third"));
        assert_eq!(odd(&[&[4, 3], &[4], &[4, 3]]), Some("second"));
        assert_eq!(odd(&[&[4], &[4, 3], &[4, 3]]), Some("first"));
        assert_eq!(odd(&[&[2], &[3], &[4]]), Some("third"));
        assert_eq!(odd(&[&[2, 3], &[4, 3], &[3]]), Some("second"));
    }
}
