# What every hook of labbook begins with. `labbook hooks install` joins it with the hook's own part
# and puts the paths in; `labbook hooks uninstall` takes it away again.
#
# Rules: the hook that was here before runs first, and its word is the one git hears. Nothing of
# labbook stops git, prints an error or is waited for; when labbook is gone, nothing happens.

python=@PYTHON@
home=@HOME@
book=${LABBOOK_DIR:-@BOOK@}
[ -n "$book" ] || book=$PWD/.labbook

# Run what was here before, with the same arguments; $input is what git sends on standard input.
before() {
    [ -x "$0.before-labbook" ] || return 0
    if [ "${input+set}" ]; then
        printf '%s' "$input" | "$0.before-labbook" "$@"
    else
        "$0.before-labbook" "$@"
    fi
}

# Ask labbook: the Python that installed the hook, else a labbook on PATH. A program started from a
# desktop knows of no virtual environment. What git waits for needs nothing of site-packages, which
# would take a fifth of the time.
labbook() {
    if [ -x "$python" ]; then
        PYTHONPATH=$home "$python" -S -P -m labbook.upkeep.hooked "$book" "$@"
    else
        command labbook hooks call "$book" "$@"
    fi 2>/dev/null </dev/null
}

# The same, later and with nobody waiting: neither git nor the program that called it.
labbook_later() {
    [ -x "$python" ] || return 0
    (nice -n 19 "$python" -P -m labbook.upkeep.hooked "$book" "$@" >/dev/null 2>&1 </dev/null &)
}

# Whether some run had exactly this tree: one file in the book says so, no program is started.
was_run() {
    [ -n "$1" ] || return 1
    [ -e "$book/code.git/refs/labbook/trees/$1" ] && return 0
    grep -q "refs/labbook/trees/$1\$" "$book/code.git/packed-refs" 2>/dev/null
}

# Whether runs may be live, which are then in $busy: their journals were touched within two minutes
# (they are, every second). Of very many runs only those written to last are asked: git waits.
is_busy() {
    busy=$(
        cd "$book/runs" 2>/dev/null || exit
        newest=$(ls -t | head -n 1000 | grep -E '^[0-9A-Za-z][0-9A-Za-z._-]*$' | sed 's,$,/journal,')
        [ -z "$newest" ] || find $newest -name '*.lbj' -mmin -2 2>/dev/null | cut -d / -f 1 | uniq
    )
    [ -n "$busy" ]
}

# Say which of them run other code than this tree (none given: whatever it is).
warn_of_live() {
    is_busy && labbook live "$1" $busy
}
