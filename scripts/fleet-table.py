"""The table of scripts/fleet, in Markdown, from the results in a folder."""

import json
import pathlib
import re
import statistics
import sys

folder = pathlib.Path(sys.argv[1])


def load(path):
    return json.loads(path.read_text())


def text_of(name):
    path = folder / name
    return path.read_text() if path.exists() else None


def ms(micros):
    return f"{micros / 1000:,.1f} ms"


rows, machine = [], None
for path in sorted(folder.glob("unicast-*.json"), key=lambda path: -int(path.stem.split("-")[1])):
    result = load(path)
    machine = machine or result["machine"]
    point = next(p for p in result["loads"] if p["name"] == "unicast through HTTP")
    sent, late = result["messages"], point["latency"]["corrected"]
    rows.append((
        f"messages across nodes, {point['offered_per_s']:,.0f} a second offered",
        f"{point['achieved_per_s']:,.0f} a second; p50 {ms(late['p50_us'])}, p99 {ms(late['p99_us'])};"
        f" {sent['lost']} lost, {sent['duplicates']} twice, {sent['out_of_order']} out of order",
    ))
if (path := folder / "broadcast.json").exists():
    result = load(path)
    machine = machine or result["machine"]
    rounds = result["fanout"]["rounds"]
    own = statistics.median(r["first_by_url_us"][0] for r in rounds)
    others = [statistics.median(r["first_by_url_us"][at] - r["first_by_url_us"][0] for r in rounds) for at in (1, 2)]
    worst = max(max(r["first_by_url_us"][1:]) - r["first_by_url_us"][0] for r in rounds)
    lost, twice = (sum(r[what] for r in rounds) for what in ("lost", "duplicates"))
    rows.append((
        f"a message to {rounds[0]['receivers']:,} users on three nodes",
        f"first receipt on its own node after {ms(own)}, on the others {' and '.join(map(ms, others))} later"
        f" (worst of {len(rounds)} rounds {ms(worst)}); last after"
        f" {ms(statistics.median(r['last_us'] for r in rounds))}; {lost} lost, {twice} twice",
    ))
if lines := text_of("logins-lag.txt"):
    result = load(folder / "logins.json")
    machine = machine or result["machine"]
    lags = [float(line.split()[2]) for line in lines.splitlines() if len(line.split()) == 4]
    done = next(f for f in result["figures"] if f["name"] == "login.logins_per_second")
    rows.append((
        f"{result['connections']['asked']:,} logins on three nodes",
        f"{statistics.median(done['samples']):,.0f} a second; presence lags {max(lags):.1f} s behind at most"
        f" ({len(lags)} looks)",
    ))
if commands := text_of("rest-commands.txt"):
    users, seconds = map(int, text_of("rest-window.txt").split())
    stats = {m[1]: (int(m[2]), int(m[3])) for m in re.finditer(r"cmdstat_(\S+?):calls=(\d+),usec=(\d+)", commands)}
    calls = {name: n for name, (n, _) in stats.items() if not name.startswith("config")}
    scripts = calls.get("evalsha", 0) + calls.get("eval", 0)
    # Each script asks for the time, reads and writes; what is beyond that was asked by itself.
    inside = {name: min(scripts, calls.get(name, 0)) for name in ("time", "get", "set")}
    per_hour = 3600 / users / seconds
    asked = (sum(calls.values()) - sum(inside.values())) * per_hour
    renewals, busy = stats["evalsha"]
    memory = int(text_of("rest-memory.txt").split(":")[1])
    rows.append((
        "commands to Redis for each user and hour, at rest",
        f"{asked:.1f}, {renewals * per_hour:.1f} of them renewals, which keep Redis busy for {busy / renewals:.0f} µs each;"
        f" {memory / users:,.0f} bytes of Redis a user",
    ))
if machine:
    print(
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB, Linux {machine['kernel']};"
        f" Redis, three nodes and the generator on this host.\n"
    )
print("| | |\n|---|---|")
for name, text in rows:
    print(f"| {name} | {text} |")
