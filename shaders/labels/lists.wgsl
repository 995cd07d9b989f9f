// The labels of a row are a list of classes, which its first negative entry ends; an entry out of range names no class.
// The item at place j of a row stands for class j as well: how often the list names it is m of
// loss/multilabel_margin.wgsl.
struct Named {
    open: bool, // no negative entry so far
    times: vec4<f32>,
}

fn name1(n: Named, classes: vec4<u32>, i: u32, end: u32) -> Named {
    let words = label_words(min(i, end - 1u));
    let open = n.open & (i < end) & (words.y < 0x80000000u);
    let named = (classes == vec4<u32>(words.x)) & vec4<bool>(open & (words.y == 0u));
    return Named(open, n.times + select(vec4<f32>(0.0), vec4<f32>(1.0), named));
}

// Up to four items, which may belong to several rows. The windows of a dispatch have the whole lists of its first and
// last item.
fn visit_labels(item: u32, count: u32) {
    let last = item + count;
    var at = item;
    while (at < last) {
        let start = at / params.classes * params.classes; // the item that the row begins with
        let list = params.base + (start - params.first_item);
        let end = list + params.classes;
        let stop = min(last, start + params.classes);
        var n = Named(true, vec4<f32>(0.0));
        for (var i = list; (i < end) & n.open; i += 4u) {
            let classes = vec4<u32>(at - start) + vec4<u32>(0u, 1u, 2u, 3u);
            n = name1(n, classes, i, end);
            n = name1(n, classes, i + 1u, end);
            n = name1(n, classes, i + 2u, end);
            n = name1(n, classes, i + 3u, end);
        }
        for (var k = at; k < stop; k++) {
            put_grad_targets1(params.weight_base + (k - params.first_item), n.times[k - at]);
        }
        at = stop;
    }
}
