# SPDX-License-Identifier: Apache-2.0
# Written by packaging/completions/generate.py from tanist --help.
complete -c tanist -f
complete -c tanist -n __fish_use_subcommand -s c -r -F -d 'the cluster of this configuration'
complete -c tanist -n __fish_use_subcommand -s s -r -F -d 'the agent or witness at this control socket'
complete -c tanist -n __fish_use_subcommand -l json -d 'for programs'
complete -c tanist -n __fish_use_subcommand -l help -d 'how it is called'
complete -c tanist -n __fish_use_subcommand -l version -d 'its version'
complete -c tanist -n __fish_use_subcommand -a status -d 'who is master, and how all is'
complete -c tanist -n __fish_use_subcommand -a watch -d 'the same, live'
complete -c tanist -n '__fish_seen_subcommand_from watch' -l every -x
complete -c tanist -n '__fish_seen_subcommand_from watch' -l count -x
complete -c tanist -n __fish_use_subcommand -a init -d 'write the one configuration and the three keys; asks for what is not given'
complete -c tanist -n '__fish_seen_subcommand_from init' -l cluster -x
complete -c tanist -n '__fish_seen_subcommand_from init' -l node-a -x
complete -c tanist -n '__fish_seen_subcommand_from init' -l node-b -x
complete -c tanist -n '__fish_seen_subcommand_from init' -l witness -x
complete -c tanist -n '__fish_seen_subcommand_from init' -l virtual-ip -x
complete -c tanist -n '__fish_seen_subcommand_from init' -l interface -x
complete -c tanist -n '__fish_seen_subcommand_from init' -l driver -x
complete -c tanist -n '__fish_seen_subcommand_from init' -l broker-a -x
complete -c tanist -n '__fish_seen_subcommand_from init' -l broker-b -x
complete -c tanist -n '__fish_seen_subcommand_from init' -l output -r -F
complete -c tanist -n '__fish_seen_subcommand_from init' -l keys-directory -x -a '(__fish_complete_directories)'
complete -c tanist -n __fish_use_subcommand -a switchover -d 'hand over to the other node without losing a message, or be told why not'
complete -c tanist -n '__fish_seen_subcommand_from switchover' -l to -x
complete -c tanist -n '__fish_seen_subcommand_from switchover' -l timeout -x
complete -c tanist -n '__fish_seen_subcommand_from switchover' -l dry-run
complete -c tanist -n __fish_use_subcommand -a explain -d 'why it is so: for each node, may it lead now, and what says no'
complete -c tanist -n __fish_use_subcommand -a events -d 'what happened, newest last'
complete -c tanist -n '__fish_seen_subcommand_from events' -l follow
complete -c tanist -n '__fish_seen_subcommand_from events' -l since -x
complete -c tanist -n '__fish_seen_subcommand_from events' -l last -x
complete -c tanist -n '__fish_seen_subcommand_from events' -l cluster -x
complete -c tanist -n __fish_use_subcommand -a history -d 'epochs: who led, from when to when, where it began, why it ended'
complete -c tanist -n '__fish_seen_subcommand_from history' -l last -x
complete -c tanist -n '__fish_seen_subcommand_from history' -l cluster -x
complete -c tanist -n __fish_use_subcommand -a report -d 'say that a master does not serve you'
complete -c tanist -n '__fish_seen_subcommand_from report' -l suspect -x
complete -c tanist -n '__fish_seen_subcommand_from report' -l reason -x
complete -c tanist -n __fish_use_subcommand -a check -d 'check a configuration and print its timing budget'
complete -c tanist -n '__fish_seen_subcommand_from check' -F
complete -c tanist -n '__fish_seen_subcommand_from check' -l round-trip -x
complete -c tanist -n '__fish_seen_subcommand_from check' -l disk-sync -x
complete -c tanist -n __fish_use_subcommand -a doctor -d 'examine this machine for the cluster; each finding with what mends it'
complete -c tanist -n '__fish_seen_subcommand_from doctor' -l name -x
complete -c tanist -n '__fish_seen_subcommand_from doctor' -l only -x
complete -c tanist -n __fish_use_subcommand -a keygen -d 'make a key pair, print the public key'
complete -c tanist -n '__fish_seen_subcommand_from keygen' -l cluster -x
complete -c tanist -n '__fish_seen_subcommand_from keygen' -l name -x
complete -c tanist -n '__fish_seen_subcommand_from keygen' -l directory -x -a '(__fish_complete_directories)'
complete -c tanist -n __fish_use_subcommand -a pubkey -d 'print the public key again'
complete -c tanist -n '__fish_seen_subcommand_from pubkey' -l cluster -x
complete -c tanist -n '__fish_seen_subcommand_from pubkey' -l name -x
complete -c tanist -n '__fish_seen_subcommand_from pubkey' -l directory -x -a '(__fish_complete_directories)'
complete -c tanist -n __fish_use_subcommand -a form -d 'form a cluster whose brokers hold data: that of NODE counts'
complete -c tanist -n '__fish_seen_subcommand_from form' -l data -x
complete -c tanist -n '__fish_seen_subcommand_from form' -l above -x
complete -c tanist -n __fish_use_subcommand -a force-master -d 'lead here without a majority, on your word that the other node is down'
complete -c tanist -n '__fish_seen_subcommand_from force-master' -l reason -x
complete -c tanist -n '__fish_seen_subcommand_from force-master' -l fence
complete -c tanist -n '__fish_seen_subcommand_from force-master' -l confirm-down -x
complete -c tanist -n '__fish_seen_subcommand_from force-master' -l yes-i-understand -x
complete -c tanist -n __fish_use_subcommand -a freeze -d 'no automatic failover until thawed; survives restarts'
complete -c tanist -n '__fish_seen_subcommand_from freeze' -l cluster -x
complete -c tanist -n __fish_use_subcommand -a thaw -d 'automatic failover again'
complete -c tanist -n '__fish_seen_subcommand_from thaw' -l cluster -x
complete -c tanist -n __fish_use_subcommand -a orphans -d 'what a rejoin cut off and kept; on the node itself'
complete -c tanist -n '__fish_seen_subcommand_from orphans' -a 'list show replay discard'
complete -c tanist -n '__fish_seen_subcommand_from orphans' -F
complete -c tanist -n '__fish_seen_subcommand_from orphans' -l from -x
complete -c tanist -n '__fish_seen_subcommand_from orphans' -l new-ids
complete -c tanist -n '__fish_seen_subcommand_from orphans' -l yes-i-understand -x
complete -c tanist -n __fish_use_subcommand -a reset-voter -d 'set a damaged ballot aside: the voter here starts blank'
complete -c tanist -n '__fish_seen_subcommand_from reset-voter' -l name -x
complete -c tanist -n '__fish_seen_subcommand_from reset-voter' -l directory -x -a '(__fish_complete_directories)'
complete -c tanist -n '__fish_seen_subcommand_from reset-voter' -l yes-i-understand -x
