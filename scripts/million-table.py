"""The table of a headline run, in Markdown, from the results in a folder."""

import json
import pathlib
import statistics
import sys

folder = pathlib.Path(sys.argv[1])


def load(name):
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def figure(result, name):
    found = [f for f in result["figures"] if f["name"] == name]
    return statistics.median(found[0]["samples"]) if found else None


def level(result, name):
    return next((point for point in result["loads"] if point["name"] == name), None)


def slope(result):
    user = result["plan"]["memory"]["user"]
    return f"{user['per_connection']:.1f} bytes ({user['low']:.1f} to {user['high']:.1f})"


def ms(micros):
    return f"{micros / 1000:,.1f} ms"


rows = []
if idle := load("memory-idle"):
    rows.append(("user memory per idle connection", slope(idle)))
if logged_in := load("memory-logged-in"):
    rows.append(("user memory per logged-in connection", slope(logged_in)))
pairs = []
for turn in range(1, 100):
    bare, ours = load(f"accept-bare-{turn}"), load(f"accept-millgate-{turn}")
    if not (bare and ours):
        break
    pairs.append([figure(result, "open.handshakes_per_second") for result in (ours, bare)])
if pairs:
    ratios = [ours / bare for ours, bare in pairs]
    ours, bare = (statistics.median(column) for column in zip(*pairs))
    rows.append((
        "handshakes a second to the last connection",
        f"{ours:,.0f}; bare loop {bare:,.0f}; ratio {statistics.median(ratios):.2f}"
        f" ({min(ratios):.2f} to {max(ratios):.2f})",
    ))
if hold := load("hold"):
    c = hold["connections"]
    samples = [s for s in hold["timeline"] if s["logged_in"] >= c["asked"]]
    held = samples[-1]["at_s"] - samples[0]["at_s"] if samples else 0
    rows.append((
        "held, logged in, with a heartbeat every 60 s",
        f"{c['peak']:,} for {held:,.0f} s, {c['lost']:,} lost",
    ))
    rows.append(("logins a second over four apps", f"{figure(hold, 'login.logins_per_second'):,.0f}"))
if idle := load("idle"):
    asked = idle["connections"]["asked"]
    # In the first seconds the last replies are still under way.
    samples = [s for s in idle["timeline"] if s["logged_in"] >= asked][5:]
    if len(samples) > 1:
        first, last = samples[0], samples[-1]
        cpu = last["server"]["cpu_s"] - first["server"]["cpu_s"]
        share = cpu / (last["at_s"] - first["at_s"])
        rows.append(("CPU at rest, without heartbeats", f"{share * 100:.2f} % of a core"))
rounds = []
for turn in range(1, 100):
    bare, ours = load(f"fanout-bare-{turn}"), load(f"fanout-millgate-{turn}")
    if not (bare and ours):
        break
    rounds.append([result["fanout"]["rounds"] for result in (ours, bare)])
if rounds:
    def rates(column):
        return [r["rate_per_s"] for pair in rounds for r in pair[column]]

    all_ours = [r for pair in rounds for r in pair[0]]
    lost, twice = sum(r["lost"] for r in all_ours), sum(r["duplicates"] for r in all_ours)
    ours, bare = (statistics.median(rates(column)) for column in (0, 1))
    rows.append((
        "a message to everybody",
        f"{ours:,.0f} receipts a second, {lost} lost, {twice} twice in {len(all_ours)} rounds;"
        f" bare send() loop {bare:,.0f}; ratio {ours / bare:.2f}",
    ))
if pinged := load("ping"):
    rate = statistics.median(r["rate_per_s"] for r in pinged["fanout"]["rounds"])
    corrected = level(pinged, "ping during fan-out")["latency"]["corrected"]
    rows.append((
        "ping of 1,000 others meanwhile",
        f"p50 {ms(corrected['p50_us'])}, p99 {ms(corrected['p99_us'])};"
        f" {rate:,.0f} receipts a second",
    ))
if storm := load("storm"):
    seen = storm["storm"]
    text = f"{seen['returned']:,} of {seen['dropped']:,} back"
    if seen["all_s"]:
        text += f" in {seen['all_s']:.1f} s"
    text += f", {seen['survivors_lost']} of the others lost"
    if ping := level(storm, "survivors during storm"):
        text += f", their ping p99 {ms(ping['latency']['corrected']['p99_us'])}"
    rows.append((f"storm: {seen['dropped']:,} of {seen['before']:,} dropped at once", text))

machine = next(iter(filter(None, map(load, ("hold", "fanout", "memory-idle", "idle", "storm")))), None)
if machine:
    m = machine["machine"]
    print(
        f"{m['cpu']}, {m['cores']} cores, {m['memory_bytes'] / 2**30:.0f} GiB, Linux {m['kernel']};"
        f" at most {m['open_files_max']:,} descriptors a table; both ends on this host.\n"
    )
print("| | |\n|---|---|")
for name, text in rows:
    print(f"| {name} | {text} |")
