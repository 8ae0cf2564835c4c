#!/usr/bin/env bash
# The whole path on one screen: a real resolver, a web server and a client in network namespaces of their own.
# Usage: demo.sh BIN (folder with fqdnc and fqdn-load). Needs root and BPF for the second half.
set -u
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$1" && pwd)
work=$(mktemp -d)
pins=/sys/fs/bpf/fqdn-demo
client=fqdn-demo-c server=fqdn-demo-s
cgroup=

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
load() { "$bin/fqdn-load" --pins "$pins" "$@"; }

cleanup() {
    trap - EXIT INT TERM HUP
    [ -d "$pins" ] && load unload >/dev/null
    for ns in $client $server; do
        ip netns pids $ns 2>/dev/null | xargs -r kill 2>/dev/null
        ip netns del $ns 2>/dev/null
        rm -rf /etc/netns/$ns
    done
    rmdir /etc/netns 2>/dev/null
    if [ -n "$cgroup" ] && [ -d "$cgroup" ]; then
        echo 1 > "$cgroup/cgroup.kill" 2>/dev/null
        for _ in $(seq 50); do rmdir "$cgroup"/* "$cgroup" 2>/dev/null; [ -d "$cgroup" ] || break; sleep 0.1; done
    fi
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

say "1. check, compile, ask: no root, no kernel"
"$bin/fqdnc" compile "$here/policy.yaml" -o "$work/one.img" --dump "$work/one.txt" || exit 1
sed -n '/^subject/,$p' "$work/one.txt"
sed 's/matchName: api.example.test/matchName: www.example.test/' "$here/policy.yaml" > "$work/two.yaml"
"$bin/fqdnc" compile "$work/two.yaml" -o "$work/two.img" >/dev/null || exit 1
for name in api.example.test www.example.test; do
    printf '  %-18s 80/tcp -> %s\n' $name "$("$bin/fqdnc" eval "$work/one.img" --labels app=web --namespace shop $name --port 80/tcp)"
done
if [ "$(id -u)" != 0 ] || [ ! -e /sys/kernel/btf/vmlinux ]; then
    say "With root and BPF this demo would now enforce the policy on a live client."
    exit 0
fi

missing=
for tool in unbound:unbound curl:curl ip:iproute2 busybox:busybox-static; do
    command -v "${tool%%:*}" >/dev/null || missing="$missing ${tool##*:}"
done
[ -z "$missing" ] || apt-get install -y -qq --no-install-recommends $missing >/dev/null || { echo "needs:$missing"; exit 1; }

ip netns add $client && ip netns add $server || exit 1
ip link add fqdn-demo0 netns $client type veth peer name fqdn-demo1 netns $server
ip -n $client addr add 10.199.0.2/24 dev fqdn-demo0 && ip -n $client link set fqdn-demo0 up && ip -n $client link set lo up
ip -n $server link set lo up && ip -n $server link set fqdn-demo1 up
for host in 1 10 11; do ip -n $server addr add 10.199.0.$host/24 dev fqdn-demo1; done
mkdir -p /etc/netns/$client "$work/www" && echo "nameserver 10.199.0.1" > /etc/netns/$client/resolv.conf
echo "hello from the web server" > "$work/www/index.html"
cat > "$work/unbound.conf" <<CONF
server:
  interface: 10.199.0.1
  access-control: 10.199.0.0/24 allow
  chroot: ""
  username: ""
  directory: "$work"
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  local-zone: "test." static
  local-data: "api.example.test. 60 A 10.199.0.10"
  local-data: "www.example.test. 60 A 10.199.0.11"
  local-data: "evil.test. 60 A 10.199.0.11"
CONF
ip netns exec $server unbound -c "$work/unbound.conf" 2>"$work/unbound.log" &
ip netns exec $server busybox httpd -f -p 80 -h "$work/www" &
for _ in $(seq 50); do ip netns exec $client curl -s -o /dev/null -m 1 http://api.example.test/ && break; sleep 0.1; done

mount=$(awk '{ for (i = 7; i < NF; i++) if ($i == "-" && $(i+1) == "cgroup2") { print $5; exit } }' /proc/self/mountinfo)
cgroup=$mount/fqdn-demo
mkdir -p "$cgroup"

say "2. apply: the kernel has the policy, nothing of ours runs"
load apply "$work/one.img" --resolvers 10.199.0.1 --attach "$cgroup" || exit 1

say "3. a workload: curl in a fresh cgroup, bound as app=web in shop"
try() {
    local start end out
    start=$(date +%s%N)
    out=$(load run --netns "/run/netns/$client" --keep-caps --labels app=web --namespace shop -- ip netns exec $client curl -sS -m 5 "$1" 2>&1)
    end=$(date +%s%N)
    printf '  %-28s %4d ms  %s\n' "$1" $(((end - start) / 1000000)) "$(echo "$out" | tail -n 1)"
}
try http://api.example.test/
try http://evil.test/
try http://www.example.test/
try http://10.199.0.11/

say "4. swap the policy under a running client: it asks for www.example.test ten times a second"
cat > "$work/client.sh" <<'CLIENT'
for _ in $(seq 30); do curl -s -o /dev/null -m 1 http://www.example.test/ && printf o || printf x; sleep 0.1; done
CLIENT
printf '  '
load run --netns "/run/netns/$client" --keep-caps --labels app=web --namespace shop -- ip netns exec $client sh "$work/client.sh" &
running=$!
sleep 1.3; load apply "$work/two.img" --resolvers 10.199.0.1 >/dev/null && printf '|new|'
sleep 1.2; load rollback >/dev/null && printf '|old|'
wait $running
printf '\n'

say "5. what the kernel counted"
load status | sed -n '/^counters/,$p' | tail -n +2
