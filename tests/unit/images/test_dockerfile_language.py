import pytest

from halab.errors import ImageError
from halab.images.dockerfile.ignore import Ignore
from halab.images.dockerfile.parser import parse
from halab.images.dockerfile.words import expand, split

ARTICLE = """FROM ubuntu:18.04

RUN apt-get update && apt-get install -y nginx

EXPOSE 80

CMD ["nginx", "-g", "daemon off;"]
"""


def test_the_articles_dockerfile_has_four_instructions() -> None:
    found = parse(ARTICLE).instructions
    assert [(item.name, item.line) for item in found] == [("FROM", 1), ("RUN", 3), ("EXPOSE", 5), ("CMD", 7)]
    assert found[3].words == ("nginx", "-g", "daemon off;")
    assert found[1].words is None


def test_continuation_lines_skip_comments_and_empty_lines() -> None:
    text = "FROM x\nRUN a \\\n  # a comment\n\n  && b \\\n  && c\nUSER u\n"
    found = parse(text).instructions
    assert found[1].rest.split() == ["a", "&&", "b", "&&", "c"]
    assert (found[2].name, found[2].line) == ("USER", 7)


def test_the_escape_directive_changes_the_continuation_character() -> None:
    found = parse("# escape=`\nFROM x\nRUN dir `\n  C:\\\nUSER u\n").instructions
    assert found[1].rest == "dir   C:\\"
    assert found[2].name == "USER"


def test_heredocs_become_part_of_their_instruction() -> None:
    text = "FROM x\nRUN <<EOF\nset -e\n# not a comment of the Dockerfile\necho $A\nEOF\nCOPY <<'A' <<-B /d/\nraw $X\nA\n\ttabs\n\tB\nUSER u\n"
    run, copy, user = parse(text).instructions[1:]
    assert run.heredocs[0].content == "set -e\n# not a comment of the Dockerfile\necho $A\n"
    assert [(item.name, item.content, item.expand) for item in copy.heredocs] == [("A", "raw $X\n", False), ("B", "tabs\n", True)]
    assert (user.name, user.line) == ("USER", 12)


def test_flags_are_told_from_arguments() -> None:
    item = parse("FROM x\nCOPY --from=build --chown=1:2 a /b\n").instructions[1]
    assert (item.flag("from"), item.flag("chown"), item.rest) == ("build", "1:2", "a /b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM x\nFORM y\n", r"Dockerfile:2: unknown instruction: FORM; did you mean FROM\? known are: ADD, ARG"),
        ("FROM x\n\nCMD\n", "Dockerfile:3: CMD requires at least one argument"),
        ("RUN true\n", "Dockerfile:1: no build stage in current context"),
        ("", "the file is empty"),
        ("FROM x\nCOPY --form=a b c\n", "Dockerfile:2: unknown flag: --form for COPY"),
        ("FROM x\nRUN <<EOF\ntrue\n", "Dockerfile:2: unterminated heredoc EOF"),
        ("FROM x\nSHELL /bin/bash\n", "SHELL requires the arguments to be in JSON form"),
        ("FROM x\nCMD ['nginx']\n", "the exec form takes double quotes"),
        ("FROM x\nONBUILD FROM y\n", "isn't allowed as an ONBUILD trigger"),
    ],
)
def test_a_mistake_names_file_and_line(text: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A", "one"),
        ("${A}b", "oneb"),
        ("$AB", ""),
        (r"\$A", "$A"),
        ("'$A'", "$A"),
        ('"$A two"', "one two"),
        ("${X:-dflt}", "dflt"),
        ("${E:-dflt}", "dflt"),
        ("${E-dflt}", ""),
        ("${A:+set}", "set"),
        ("${X:+set}", ""),
        ("${X:-${A}}", "one"),
        ("${P#*/}", "b/c.txt"),
        ("${P##*/}", "c.txt"),
        ("${P%.txt}", "a/b/c"),
        ("${P%%/*}", "a"),
        ("${P//\\//-}", "a-b-c.txt"),
        ("$", "$"),
    ],
)
def test_variables_and_quotes(text: str, expected: str) -> None:
    assert expand(text, {"A": "one", "E": "", "P": "a/b/c.txt"}) == expected


def test_a_required_variable_that_is_not_set_is_an_error() -> None:
    with pytest.raises(ImageError, match="variable V: set V"):
        expand("${V:?set V}", {})


def test_words_are_split_outside_quotes() -> None:
    assert split("""a="x y" b='c d' e\\ f  g""", {}) == ["a=x y", "b=c d", "e f", "g"]


def test_dockerignore_rules_with_exceptions() -> None:
    ignore = Ignore.parse("# comment\n*.md\n!README.md\nnode_modules\n**/*.pyc\n/build/\ntmp/*/cache\n")
    excluded = ["a.md", "node_modules", "node_modules/x/y.js", "deep/down/a.pyc", "a.pyc", "build/out", "tmp/1/cache"]
    kept = ["README.md", "docs/a.md", "src/app.py", "src/node_modules_not", "tmp/cache"]
    assert [path for path in excluded if not ignore.excludes(path)] == []
    assert [path for path in kept if ignore.excludes(path)] == []
