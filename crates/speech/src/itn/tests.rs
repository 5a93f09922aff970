//! Inverse text normalization with WeTextProcessing's grammars, against OpenFst's output.

use std::fs;

use super::*;
use crate::fixtures;
use errors::Chain;

/// Opens WeTextProcessing's grammars for Chinese.
fn chinese() -> Normalizer {
    let directory = fixtures::directory(
        &["zh_itn_tagger.fst", "zh_itn_verbalizer.fst"]
            .map(|name| (name, fixtures::gunzip(&format!("itn/{name}.gz")))),
    );
    Normalizer::open(directory.path()).unwrap()
}

/// Reads pairs of a text and OpenFst's output for it.
fn pairs(path: &Path) -> Vec<(String, String)> {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_shortest_path_matches_openfst() {
    let normalizer = chinese();
    let pairs = pairs(&fixtures::path("itn/zh.json"));
    assert!(pairs.len() > 200);
    for (text, reference) in pairs {
        let written = normalizer.apply(&text).unwrap();
        assert_eq!(written.trim(), reference, "{text}");
    }
}

#[test]
fn chinese_numbers_dates_times_and_money() {
    let normalizer = chinese();
    for (text, written) in [
        ("一百二十三点五", "123.5"),
        ("同比增长百分之六点三。", "同比增长6.3%。"),
        ("二零零二年一月二十八日，早上", "2002/01/28，早上"),
        ("上午八点半准时开会", "8:30a.m.准时开会"),
        ("价格是十三点五元。", "价格是¥13.5。"),
        ("三千三百八十元五角八分", "¥3380.58"),
        ("总量的五分之一以上", "总量的1/5以上"),
        ("可以打我手机幺三五零幺二三四五六七", "可以打我手机13501234567"),
        ("他 说 hello 世界 二十三 次", "他 说 hello 世界 23 次"),
        ("Hello 我有两百块钱 OK", "Hello 我有200块钱 OK"),
        ("等了十分钟", "等了10min"),
        ("他说\"二十三\"", "他说\"23\""),
    ] {
        assert_eq!(normalizer.normalize(text), written, "{text}");
    }
}

#[test]
fn ordinary_words_stay_unchanged() {
    let normalizer = chinese();
    for text in [
        "",
        " ",
        "你好",
        "我有一点想法",
        "一些人",
        "三心二意",
        "十分好",
        "十分感谢，十分抱歉",
        "一，二，三",
        "第一名",
        "他说\"好\"",
        "C:\\",
        "\0二十三",
        "🙂",
    ] {
        assert_eq!(normalizer.normalize(text), text.trim(), "{text}");
    }
    let long = "二十三".repeat(1000);
    assert!(normalizer.normalize(&long).len() < long.len(), "endless numbers are cut, not refused");
    assert_eq!(normalizer.normalize(&"等了二十三人".repeat(500)), "等了23人".repeat(500));
}

#[test]
fn rewrites_cover_whole_words() {
    let normalizer = chinese();
    let rewrite = |words: &[&str]| -> Vec<(usize, usize, String)> {
        let rewrites = normalizer.rewrite(words);
        rewrites.into_iter().map(|r| (r.words.start, r.words.end, r.text)).collect()
    };
    let expected = |expected: &[(usize, usize, &str)]| -> Vec<(usize, usize, String)> {
        expected.iter().map(|&(start, end, text)| (start, end, text.to_owned())).collect()
    };
    let one_character_each = ["共", "二", "十", "三", "人，", "和", "五", "十", "人"];
    assert_eq!(rewrite(&one_character_each), expected(&[(1, 4, "23"), (6, 8, "50")]));
    // A word of several characters is rewritten whole.
    assert_eq!(rewrite(&["共二", "十三人", "ok"]), expected(&[(0, 2, "共23人")]));
    assert_eq!(rewrite(&["共二十三和五十人ok"]), expected(&[(0, 1, "共23和50人ok")]));
    assert_eq!(
        rewrite(&["二十", "三和百", "分之五和一千", "零五，", "好"]),
        expected(&[(0, 4, "23和5%和1005，")])
    );
    assert_eq!(rewrite(&["一百", "。"]), expected(&[(0, 1, "100")]));
    assert_eq!(rewrite(&["百分之", "二十。"]), expected(&[(0, 2, "20%。")]));
    assert_eq!(rewrite(&["好", &"二十三".repeat(5000)]), [], "a word beyond the limit");
    assert_eq!(rewrite(&[]), []);
    assert_eq!(rewrite(&["", "，", ""]), []);
}

#[test]
fn words_with_several_changes_are_rewritten_once() {
    let change = |source: Range<usize>, target: Range<usize>| Change { source, target };
    let changes = [change(1..4, 1..2), change(5..6, 3..6), change(8..9, 8..9)];
    let owners = [0, 0, 1, 1, 2, 2, 3, 4, 5];
    let widened = |index: usize| widen_to_words(&changes[index], &changes, &owners);
    assert_eq!(widened(0), change(0..4, 0..2));
    assert_eq!(widened(1), change(4..6, 2..6));
    assert_eq!(widened(2), changes[2]);
    let owners = [0, 0, 1, 1, 1, 1, 1, 1, 1];
    assert_eq!(widen_to_words(&changes[2], &changes, &owners), change(0..9, 0..9));
}

#[test]
fn word_boundaries_do_not_change_the_text() {
    let normalizer = chinese();
    for (text, _) in pairs(&fixtures::path("itn/zh.json")) {
        let characters: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
        let joined: String = characters.iter().collect();
        let whole = normalizer.normalize(&joined);
        for size in 1..6 {
            let words: Vec<String> = characters.chunks(size).map(|c| c.iter().collect()).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let (mut end, mut written) = (0, String::new());
            for rewrite in normalizer.rewrite(&words) {
                assert!(rewrite.words.start >= end && !rewrite.words.is_empty(), "{text}");
                assert!(!rewrite.text.is_empty());
                written += &words[end..rewrite.words.start].concat();
                written += &rewrite.text;
                end = rewrite.words.end;
            }
            written += &words[end..].concat();
            // In other texts the chunks would split Latin words, or contain punctuation.
            if characters.iter().all(|c| ('\u{4e00}'..='\u{9fff}').contains(c)) {
                assert_eq!(written, whole, "{words:?}");
            }
        }
    }
}

#[test]
fn refuses_files_that_are_not_grammars() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Chain(&Normalizer::open(directory.path()).unwrap_err()).to_string();
    assert!(open().contains("tagger.fst"), "{}", open());
    fs::write(directory.path().join("tagger.fst"), "<html>").unwrap();
    assert!(open().contains("verbalizer.fst"));
    fs::write(directory.path().join("verbalizer.fst"), "<html>").unwrap();
    assert!(open().contains("tagger.fst") && open().contains("OpenFst"), "{}", open());
}

/// The English grammars are too large for fixtures. `ITN_EN` is their directory (`scriptorium
/// models path itn-en`); `ITN_EN_REFERENCE`, if set, is a file like `zh.json` for them.
#[test]
#[ignore = "needs the English grammars"]
fn english_numbers_dates_times_and_money() {
    let directory = std::env::var("ITN_EN").unwrap();
    let normalizer = Normalizer::open(Path::new(&directory)).unwrap();
    for (text, written) in [
        ("Twenty three, thirty four.", "23, 34."),
        ("The year nineteen ninety nine", "The year 1999"),
        ("On January fifth twenty twenty five he left.", "On January 5 2025 he left."),
        ("It costs five dollars and fifty cents!", "It costs $5.50!"),
        ("Two point five percent of them", "2.5 % of them"),
        ("Meet at three thirty pm", "Meet at 03:30 p.m."),
        ("The twenty first century", "The 21st century"),
        ("two nine three four zero", "29340"),
        ("Wait a second, one of them", "Wait a second, one of them"),
        ("It's the first time", "It's the first time"),
        ("one, two, three", "one, two, three"),
        ("A hundred times I don't", "A hundred times I don't"),
    ] {
        assert_eq!(normalizer.normalize(text), written, "{text}");
    }
    if let Ok(path) = std::env::var("ITN_EN_REFERENCE") {
        for (text, reference) in pairs(Path::new(&path)) {
            assert_eq!(normalizer.apply(&text).unwrap().trim(), reference, "{text}");
        }
    }
}
