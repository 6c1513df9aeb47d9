# Completion of aground for bash: asks the program, which knows its verbs, flags and dumps.
_aground() {
    local line=${COMP_LINE:0:COMP_POINT} words answer directive current prefix= offer
    read -ra words <<<"$line"
    [[ $line != *[[:space:]] ]] || words+=("")
    mapfile -t answer < <("${words[0]}" __completeNoDesc "${words[@]:1}" 2>/dev/null)
    [ ${#answer[@]} -gt 0 ] || return
    directive=${answer[-1]#:}
    unset 'answer[-1]'
    ((directive & 2)) && compopt -o nospace
    ((directive & 4)) || compopt -o default
    # Readline puts the offer in place of what follows the last = or : alone.
    current=${words[-1]}
    [[ $current != *[=:]* ]] || prefix=${current%"${current##*[=:]}"}
    COMPREPLY=()
    for offer in "${answer[@]}"; do
        [[ $offer != "$current"* ]] || COMPREPLY+=("${offer#"$prefix"}")
    done
}
complete -F _aground aground
