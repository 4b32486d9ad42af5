"""Reading a book's code back: hostile, damaged and missing objects; and trees as git makes them."""

import io
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labbook.conditions.objects import ObjectReader
from labbook.conditions.store import ObjectStore
from labbook.conditions.trees import EMPTY_TREE, edit, encode, object_id, parse_tree
from labbook.errors import SnapshotError
from tests.conditions.gitrepo import files, git, repository, write


@pytest.fixture
def store(tmp_path):
    made = ObjectStore(tmp_path / "code.git")
    made.create()
    return made


def test_what_is_written_is_read_back(store):
    blob = store.write("blob", b"hello\n")
    tree = store.write("tree", encode({b"a": ("100644", blob), b"b": ("40000", EMPTY_TREE)}))
    store.write("tree", b"")
    with ObjectReader(store.root) as reader:
        assert reader.read(blob) == b"hello\n"
        into = io.BytesIO()
        assert reader.copy(blob, into) == 6
        assert into.getvalue() == b"hello\n"
        assert [(f.path, f.mode, f.oid) for f in reader.files(tree)] == [("a", "100644", blob)]
        assert reader.has(blob)
        assert not reader.has("0" * 40)
    assert git(store.root, "cat-file", "-p", blob) == "hello"


@pytest.mark.parametrize(
    "name",
    [b"..", b".", b"", b"a/b", b"/etc", b".git", b".GIT", b".git ", b"git~1", b".git::$INDEX"],
)
@pytest.mark.parametrize("depth", [0, 2])
def test_a_tree_that_leads_out_of_its_folder_is_refused(store, name, depth):
    blob = store.write("blob", b"evil")
    tree = store.write("tree", encode({name: ("100644", blob)}))
    for _ in range(depth):
        tree = store.write("tree", encode({b"inner": ("40000", tree)}))
    with ObjectReader(store.root) as reader, pytest.raises(SnapshotError, match="refused"):
        list(reader.files(tree))


def test_a_tree_that_multiplies_is_refused(store):
    blob = store.write("blob", b"x")
    tree = store.write("tree", encode({b"%d" % i: ("100644", blob) for i in range(200)}))
    for _ in range(3):
        tree = store.write("tree", encode({b"%d" % i: ("40000", tree) for i in range(200)}))
    with (
        ObjectReader(store.root, most_files=1000) as reader,
        pytest.raises(SnapshotError, match="more than 1,000 files"),
    ):
        list(reader.files(tree))


def test_a_tree_too_deep_is_refused(store):
    tree = store.write("tree", b"")
    for _ in range(40):
        tree = store.write("tree", encode({b"d" * 200: ("40000", tree)}))
    with ObjectReader(store.root) as reader, pytest.raises(SnapshotError, match="longer than"):
        list(reader.files(tree))


def test_missing_damaged_and_mistaken_objects_are_named(store):
    blob = store.write("blob", b"right")
    path = store.objects / blob[:2] / blob[2:]
    with ObjectReader(store.root) as reader:
        with pytest.raises(SnapshotError, match="is missing"):
            reader.read("1" * 40)
        with pytest.raises(SnapshotError, match="is a blob, not a tree"):
            reader.read(blob, "tree")
        with pytest.raises(SnapshotError, match="is no object id"):
            reader.read("HEAD")
        assert reader.read(blob) == b"right"  # and it goes on after errors
    path.chmod(0o644)
    path.write_bytes(zlib.compress(b"blob 5\0wrong"))
    with ObjectReader(store.root) as reader:
        with pytest.raises(SnapshotError, match=r"damaged|cannot be read"):
            reader.read(blob)
        with pytest.raises(SnapshotError, match=r"damaged|cannot be read"):
            reader.copy(blob, io.BytesIO())


@pytest.mark.parametrize("data", [b"rubbish", b"100644 a\0short", b"100644\0", b" a\0" + b"x" * 20])
def test_a_damaged_tree_is_no_tree(data):
    with pytest.raises(SnapshotError, match="damaged"):
        parse_tree(data)


def test_no_store_and_no_code(tmp_path):
    with pytest.raises(SnapshotError, match="no code is stored in this book"):
        ObjectReader(tmp_path)


def test_other_commands_run_without_any_settings(tmp_path, store, monkeypatch):
    write(tmp_path / "config", f"[diff]\n\texternal = touch {tmp_path}/sprung\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    old = store.write("tree", encode({b"a": ("100644", store.write("blob", b"1\n"))}))
    new = store.write("tree", encode({b"a": ("100644", store.write("blob", b"2\n"))}))
    with ObjectReader(store.root) as reader:
        assert b"+2" in reader.run("diff", old, new)
    assert not (tmp_path / "sprung").exists()


def test_object_ids_are_gits(tmp_path):
    top = repository(tmp_path / "r")
    assert object_id("blob", b"print(1)\n") == git(top, "rev-parse", "HEAD:train.py")
    assert object_id("tree", b"") == EMPTY_TREE


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trees") / "r"
    return repository(folder, {})


NAMES = st.sampled_from(["a", "a.b", "a-b", "a/x", "a/y/z", "b", "b/c", "b0", "c/d/e/f", "A"])


def _no_clashes(names):
    return [n for n in names if not any(other.startswith(f"{n}/") for other in names)]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sets(NAMES), min_size=1, max_size=4), st.randoms())
def test_edited_trees_are_those_that_git_writes(scratch, states, draw):
    trees = {}
    blob = object_id("blob", b"")
    base, before = None, set()
    for names in states:
        after = set(_no_clashes(names))
        changes = {n.encode(): None for n in before - after} | {
            n.encode(): ("100644", blob) for n in after
        }
        order = list(changes.items())
        draw.shuffle(order)
        base, made = edit(lambda oid, trees=trees: parse_tree(trees[oid]), base, dict(order))
        trees |= made
        before = after
    git(scratch, "rm", "-rfq", "--cached", "--ignore-unmatch", ".")
    git(scratch, "hash-object", "-w", "--stdin", "--no-filters")
    for name in before:
        git(scratch, "update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
    assert base == git(scratch, "write-tree")
    assert files(scratch) == {}
