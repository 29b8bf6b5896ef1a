#!/bin/sh
# The CNI plugin where there is no C shim: passes the call to the agent on this node, which does the wiring itself.
# Needs nc of OpenBSD, or socat. The installer writes the node's socket into the next line.
FAIRLEAD_SOCKET='/run/fairlead/cni.sock'
PATH="$PATH:/usr/sbin:/usr/bin:/sbin:/bin"
if [ -z "$CNI_COMMAND" ]; then
  printf '%s\n' 'Fairlead CNI plugin: passes calls to the agent on this node' \
    'CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0' >&2
  exit 0
fi
config=$(cat)
version() {
  v=$(printf '%s' "$config" | tr '\n' ' ' | sed -n 's/.*"cniVersion"[[:space:]]*:[[:space:]]*"\([0-9.]*\)".*/\1/p')
  case $v in 0.1.0 | 0.2.0 | 0.3.0 | 0.3.1 | 0.4.0 | 1.0.0 | 1.1.0) printf '%s' "$v" ;; *) printf '%s' "$1" ;; esac
}
fail() {
  printf '{"cniVersion":"%s","code":%s,"msg":"%s","details":"%s"}\n' "$(version 1.0.0)" "$1" "$2" "$3"
  exit 1
}
if [ "$CNI_COMMAND" = VERSION ]; then
  printf '{"cniVersion":"%s","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}\n' "$(version 1.1.0)"
  exit 0
fi
case $CNI_COMMAND$CNI_CONTAINERID$CNI_NETNS$CNI_IFNAME$CNI_ARGS$CNI_PATH in
  *'
'*) fail 4 'a line break in an environment variable' 'CNI_*' ;;
esac
code=11
[ "$CNI_COMMAND" = STATUS ] && code=50
if command -v nc >/dev/null; then
  agent() { nc -N -U "$FAIRLEAD_SOCKET"; }
elif command -v socat >/dev/null; then
  agent() { socat -t 60 - "UNIX-CONNECT:$FAIRLEAD_SOCKET"; }
else
  fail "$code" 'agent not reachable' 'this node has neither nc nor socat: install one, or use the C shim'
fi
printf 'CNI_COMMAND=%s\nCNI_CONTAINERID=%s\nCNI_NETNS=%s\nCNI_IFNAME=%s\nCNI_ARGS=%s\nCNI_PATH=%s\n\n%s' "$CNI_COMMAND" \
  "$CNI_CONTAINERID" "$CNI_NETNS" "$CNI_IFNAME" "$CNI_ARGS" "$CNI_PATH" "$config" | agent 2>/dev/null | {
  IFS= read -r line || line=
  case $line in
    rc=[0-9]*) cat; exit "${line#rc=}" ;;
  esac
  fail "$code" 'agent not reachable' "$FAIRLEAD_SOCKET gave no answer"
}
