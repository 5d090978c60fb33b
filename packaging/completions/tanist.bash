# SPDX-License-Identifier: Apache-2.0
# Written by packaging/completions/generate.py from tanist --help.
_tanist() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command= words= files= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      -c | -s) ((i++)) ;;
      -*) ;;
      *)
        command=${COMP_WORDS[i]}
        break
        ;;
    esac
  done
  case $before in
    -c | -s | --output)
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --directory | --keys-directory)
      mapfile -t COMPREPLY < <(compgen -d -- "$word")
      return
      ;;
    --above | --broker-a | --broker-b | --cluster | --confirm-down | --count | --data | --disk-sync | --driver | --every | --from | --interface | --last | --name | --node-a | --node-b | --only | --reason | --round-trip | --since | --suspect | --timeout | --to | --virtual-ip | --witness | --yes-i-understand) return ;;
  esac
  case $command in
    '') words='-c -s --json --help --version status watch init switchover explain events history report check doctor keygen pubkey form force-master freeze thaw orphans reset-voter' ;;
    status) words='' ;;
    watch) words='--every --count' ;;
    init) words='--cluster --node-a --node-b --witness --virtual-ip --interface --driver --broker-a --broker-b --output --keys-directory' ;;
    switchover) words='--to --timeout --dry-run' ;;
    explain) words='' ;;
    events) words='--follow --since --last --cluster' ;;
    history) words='--last --cluster' ;;
    report) words='--suspect --reason' ;;
    check) words='--round-trip --disk-sync' files=yes ;;
    doctor) words='--name --only' ;;
    keygen) words='--cluster --name --directory' ;;
    pubkey) words='--cluster --name --directory' ;;
    form) words='--data --above' ;;
    force-master) words='--reason --fence --confirm-down --yes-i-understand' ;;
    freeze) words='--cluster' ;;
    thaw) words='--cluster' ;;
    orphans) words='list show replay discard --from --new-ids --yes-i-understand' files=yes ;;
    reset-voter) words='--name --directory --yes-i-understand' ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" ${files:+-f} -- "$word")
}
complete -o filenames -F _tanist tanist
