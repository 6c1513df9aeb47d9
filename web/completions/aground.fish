# Completion of aground for fish: asks the program, which knows its verbs, flags and dumps.
function __aground_offers
    set -l words (commandline -opc) (commandline -ct)
    for line in ($words[1] __complete $words[2..-1] 2>/dev/null)
        string match -q ':*' -- $line; or echo $line
    end
end
complete -c aground -f -a '(__aground_offers)'
complete -c aground -n '__fish_seen_subcommand_from analyze cp import symbols' -F
