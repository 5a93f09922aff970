//! The commands of a shell script, without running it: words without their quotes, split where the shell splits
//! commands. Enough for the examples of a manual: no here-documents, and expansions stay as they are written.

use std::{iter::Peekable, str::Chars};

/// Words behind which a new command begins.
const KEYWORDS: [&str; 8] = ["if", "then", "else", "elif", "do", "while", "until", "!"];

/// Returns the commands of a script, also those in substitutions, and of scripts that are passed to a shell with `-c`.
pub(super) fn commands(script: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    read(&mut script.chars().peekable(), None, &mut commands);
    let inner: Vec<_> = commands
        .iter()
        .filter(|words| ["sh", "bash"].contains(&words[0].as_str()))
        .filter_map(|words| words.iter().skip_while(|word| *word != "-c").nth(1))
        .flat_map(|script| self::commands(script))
        .collect();
    commands.extend(inner);
    commands
}

/// Reads commands up to `end`, or to the end of the text.
fn read(text: &mut Peekable<Chars<'_>>, end: Option<char>, commands: &mut Vec<Vec<String>>) {
    let (mut command, mut word) = (Vec::new(), None::<String>);
    while let Some(char) = text.next() {
        match char {
            _ if Some(char) == end => break,
            '\\' => match text.next() {
                Some('\n') | None => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            '\'' => {
                word.get_or_insert_default().extend(text.by_ref().take_while(|char| *char != '\''))
            }
            '"' => quoted(text, word.get_or_insert_default(), commands),
            '$' => expansion(text, word.get_or_insert_default(), commands),
            '`' => read(text, Some('`'), commands),
            '#' if word.is_none() => {
                while text.peek().is_some_and(|char| *char != '\n') {
                    text.next();
                }
            }
            '<' | '>' => {
                // The number of a descriptor stands directly before.
                if word.as_ref().is_none_or(|word| !word.bytes().all(|byte| byte.is_ascii_digit()))
                {
                    end_word(&mut word, &mut command);
                }
                word = None;
                skip_target(text);
            }
            '\n' | ';' | '|' | '&' | '(' | ')' => {
                end_word(&mut word, &mut command);
                end_command(&mut command, commands);
            }
            char if char.is_whitespace() => end_word(&mut word, &mut command),
            char => word.get_or_insert_default().push(char),
        }
    }
    end_word(&mut word, &mut command);
    end_command(&mut command, commands);
}

/// Reads what follows an opening double quote.
fn quoted(text: &mut Peekable<Chars<'_>>, word: &mut String, commands: &mut Vec<Vec<String>>) {
    while let Some(char) = text.next() {
        match char {
            '"' => return,
            '\\' => word.extend(text.next().filter(|char| *char != '\n')),
            '$' => expansion(text, word, commands),
            char => word.push(char),
        }
    }
}

/// Reads what follows a dollar sign: the commands of a substitution, or a name, which stays.
fn expansion(text: &mut Peekable<Chars<'_>>, word: &mut String, commands: &mut Vec<Vec<String>>) {
    word.push('$');
    match text.peek() {
        Some('(') => {
            text.next();
            read(text, Some(')'), commands);
        }
        Some('{') => word.extend(text.by_ref().take_while(|char| *char != '}')),
        _ => {}
    }
}

/// Skips the target of a redirection.
fn skip_target(text: &mut Peekable<Chars<'_>>) {
    while text.peek().is_some_and(|char| matches!(char, '<' | '>' | '&' | ' ')) {
        text.next();
    }
    match text.peek() {
        Some(quote @ ('"' | '\'')) => {
            let quote = *quote;
            text.next();
            text.by_ref().take_while(|char| *char != quote).for_each(drop);
        }
        _ => {
            while text.peek().is_some_and(|char| !char.is_whitespace() && !";|&()".contains(*char))
            {
                text.next();
            }
        }
    }
}

fn end_word(word: &mut Option<String>, command: &mut Vec<String>) {
    let Some(word) = word.take() else { return };
    if !command.is_empty() || !KEYWORDS.contains(&&*word) {
        command.push(word);
    }
}

fn end_command(command: &mut Vec<String>, commands: &mut Vec<Vec<String>>) {
    if !command.is_empty() {
        commands.push(std::mem::take(command));
    }
}

#[test]
fn commands_are_split_as_a_shell_splits_them() {
    let words = |script: &str| {
        let commands = commands(script);
        commands.iter().map(|words| words.join("_")).collect::<Vec<_>>().join("/")
    };
    for (script, expected) in [
        ("a b  c", "a_b_c"),
        ("a 'b c' \"d \\\" e\" f\\ g", "a_b c_d \" e_f g"),
        ("a \\\n  b # c\nd", "a_b/d"),
        ("a|b && c; d & e", "a/b/c/d/e"),
        ("a >b 2>&1 <c d > 'e f'", "a_d"),
        ("x=$(a b) c \"$(d 'e')\"", "a_b/d_e/x=$_c_$"),
        ("if a; then b; fi", "a/b/fi"),
        ("sh -c 'a; exec b'", "sh_-c_a; exec b/a/exec_b"),
        ("echo ${A:-b c} \"$D\"", "echo_${A:-b c_$D"),
        ("a '", "a_"),
        ("", ""),
    ] {
        assert_eq!(words(script), expected, "{script}");
    }
}
