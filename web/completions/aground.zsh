#compdef aground
# Completion of aground for zsh: asks the program, which knows its verbs, flags and dumps.
_aground() {
    local -a lines offers
    local directive line value
    lines=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    directive=${lines[-1]#:}
    lines[-1]=()
    for line in "${lines[@]}"; do
        value=${line%%$'\t'*}
        if [[ $line == *$'\t'* ]]; then
            offers+=("${value//:/\\:}:${line#*$'\t'}")
        else
            offers+=("${value//:/\\:}")
        fi
    done
    if ((directive & 2)); then
        _describe -V aground offers -S ''
    else
        _describe -V aground offers
    fi
    ((directive & 4)) || _files
}
# Sourced, or found by name on fpath.
if [[ $funcstack[1] == _aground ]]; then
    _aground "$@"
else
    compdef _aground aground
fi
