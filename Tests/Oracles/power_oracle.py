#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares `busbar solve` with HiGHS on seeded problems of 500 to 10,000 GPUs.

Each problem has two crossing trees, gangs of all sizes, up to three priorities, weights and curves. The
reference is the textbook sequence of linear programs for weighted max-min levels, priority by priority:
maximize the pace t over levels level_g = weight_g * t + extra_g with extra_g >= 0; the gangs whose bound
has a dual price cannot have more and are stopped there; go on with the rest. HiGHS solves each
(scipy.optimize.linprog). It works in floating point, so caps are compared: one milliwatt for each GPU is
allowed, which is what rounding down costs.

Every answer of `busbar solve` must also be accepted by `busbar solve --check`.
"""

import argparse
import csv
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csc_matrix

MASK = (1 << 64) - 1
COLUMNS = ["seed", "gpus", "domains", "gangs", "priorities", "curves", "status", "gap_mw", "hash"]


class Generator:
    """SplitMix64: the same numbers on every machine."""

    def __init__(self, seed):
        self.state = seed & MASK

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        mixed = self.state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        return mixed ^ (mixed >> 31)

    def pick(self, low, high):
        return low + self.next() % (high - low + 1)

    def one_in(self, count):
        return self.next() % count == 0

    def element(self, values):
        return values[self.next() % len(values)]


# Problems


def make_type(random):
    """Floor, full and, for half of them, a convex curve."""
    floor = random.pick(100_000, 300_000)
    full = floor + random.pick(200_000, 1_100_000)
    if not random.one_in(2):
        return floor, full, None
    inner = random.pick(1, 6)
    levels = sorted({random.pick(1, 999_999) for _ in range(inner)})
    # Any list of rising slopes is convex: split the rise in proportion to sorted weights.
    runs = [b - a for a, b in zip([0] + levels, levels + [1_000_000])]
    weights = sorted(random.pick(1, 100) for _ in runs)
    total = sum(w * r for w, r in zip(weights, runs))
    points, watts = [[0, floor]], floor
    for level, weight, run in zip(levels, weights, runs):
        watts += (full - floor) * weight * run // total
        points.append([level, watts])
    points.append([1_000_000, full])
    return (floor, full, points) if is_convex(points) else (floor, full, None)


def is_convex(points):
    """Rounding may have bent a piece the wrong way."""
    for (l0, w0), (l1, w1), (l2, w2) in zip(points, points[1:], points[2:]):
        if (w1 - w0) * (l2 - l1) > (w2 - w1) * (l1 - l0):
            return False
    return True


def make_problem(seed):
    random = Generator(seed)
    count = int(500 * 20 ** (random.pick(0, 1_000_000) / 1_000_000))
    rack_size = random.element([8, 16, 32, 72])
    racks = math.ceil(count / rack_size)
    rows = math.ceil(racks / random.pick(4, 12))
    feeds = random.pick(2, 12)
    domains = [{"name": "site", "parent": None}]
    domains += [{"name": f"row{r}", "parent": "site"} for r in range(rows)]
    domains += [{"name": f"rack{r}", "parent": f"row{r % rows}"} for r in range(racks)]
    domains += [{"name": "feeds", "parent": None}]
    domains += [{"name": f"feed{f}", "parent": "feeds"} for f in range(feeds)]
    types = [make_type(random) for _ in range(random.pick(2, 5))]
    priorities = random.pick(1, 3)
    gpus = []
    place = list(range(count))
    if random.one_in(2):
        # Scattered gangs: swap a third of the places.
        for index in range(count // 3):
            other = random.pick(0, count - 1)
            place[index], place[other] = place[other], place[index]
    gang = 0
    while len(gpus) < count:
        # Sizes by a power law from 1 to a quarter of the fleet, and some hundred gangs at most.
        exponent = random.pick(0, 1000) * random.pick(0, 1000) / 1_000_000
        size = min(count - len(gpus), max(count // 120, int((count / 4) ** exponent)))
        is_lone = random.one_in(12)
        traits = {
            "gang": None if is_lone else f"g{gang}",
            "priority": random.pick(0, priorities - 1),
            "weight": random.element([1, 1, 1, 2, 3, 5, 8]),
        }
        gang += 1
        for _ in range(1 if is_lone else size):
            floor, full, curve = types[(len(gpus) // rack_size) % len(types)]
            rack = place[len(gpus)] // rack_size
            leaves = [f"rack{rack}"]
            if not random.one_in(10):
                leaves.append(f"feed{(rack * 7 + len(gpus) // 8) % feeds}")
            gpu = {"domains": leaves, "floor_mw": floor, "full_mw": full, **traits}
            if curve:
                gpu["curve"] = curve
            gpus.append(gpu)
    problem = {"domains": domains, "gpus": gpus}
    draw_limits(problem, random)
    return problem


def draw_limits(problem, random):
    """Limits between floors and full paces, so that many domains bind; some have none."""
    parent = {d["name"]: d["parent"] for d in problem["domains"]}
    floors = dict.fromkeys(parent, 0)
    fulls = dict.fromkeys(parent, 0)
    for gpu in problem["gpus"]:
        for name in gpu["domains"]:
            while name is not None:
                floors[name] += gpu["floor_mw"]
                fulls[name] += gpu["full_mw"]
                name = parent[name]
    least = random.element([100_000, 300_000, 600_000])
    for domain in problem["domains"]:
        name = domain["name"]
        if random.one_in(10):
            continue
        share = random.pick(least, 1_300_000)
        domain["limit_mw"] = floors[name] + (fulls[name] - floors[name]) * share // 1_000_000
    if random.one_in(50):
        # One in fifty does not fit.
        domain = random.element(problem["domains"])
        if floors[domain["name"]] > 0:
            domain["limit_mw"] = floors[domain["name"]] - random.pick(1, 1_000_000)


# The reference


class Reference:
    """Weighted max-min levels by a sequence of linear programs."""

    def __init__(self, problem):
        self.problem = problem
        self.names = {d["name"]: i for i, d in enumerate(problem["domains"])}
        parents = [d["parent"] for d in problem["domains"]]
        self.paths = {}
        for name in self.names:
            path, here = [], name
            while here is not None:
                path.append(self.names[here])
                here = parents[self.names[here]]
            self.paths[name] = path
        self.gangs, self.gang_of = [], []
        known = {}
        for index, gpu in enumerate(problem["gpus"]):
            key = gpu["gang"] if gpu["gang"] is not None else index
            if key not in known:
                known[key] = len(self.gangs)
                self.gangs.append((gpu["priority"], gpu["weight"]))
            self.gang_of.append(known[key])
        self.gather()

    def gather(self):
        """Sums of GPUs by (gang, domain) for straight lines, and by (gang, curve, domain)."""
        self.straight, self.curved, self.curves = {}, {}, []
        numbers = {}
        limits = [d.get("limit_mw") for d in self.problem["domains"]]
        floors, fulls = [0] * len(limits), [0] * len(limits)
        self.curve_of = []
        for gpu, gang in zip(self.problem["gpus"], self.gang_of):
            curve = -1
            if "curve" in gpu:
                key = tuple(map(tuple, gpu["curve"]))
                curve = numbers.setdefault(key, len(numbers))
                if curve == len(self.curves):
                    self.curves.append([(l / 1e6, w - key[0][1]) for l, w in key])
            self.curve_of.append(curve)
            for name in gpu["domains"]:
                for domain in self.paths[name]:
                    floors[domain] += gpu["floor_mw"]
                    fulls[domain] += gpu["full_mw"]
                    if curve < 0:
                        cell = (gang, domain)
                        span = gpu["full_mw"] - gpu["floor_mw"]
                        self.straight[cell] = self.straight.get(cell, 0) + span
                    else:
                        cell = (gang, curve, domain)
                        self.curved[cell] = self.curved.get(cell, 0) + 1
        self.feasible = all(l is None or f <= l for l, f in zip(limits, floors))
        # Domains that can never be full need no row.
        self.tight = [
            d for d, l in enumerate(limits) if l is not None and fulls[d] > l]
        self.free = [float(limits[d] - floors[d]) for d in self.tight]

    def use(self, curve, level):
        """What a GPU on a curve uses above its floor."""
        points = self.curves[curve]
        for (l0, w0), (l1, w1) in zip(points, points[1:]):
            if level <= l1:
                return w0 + (w1 - w0) * (level - l0) / (l1 - l0)
        return points[-1][1]

    def solve(self):
        """The level of each gang."""
        self.levels = np.zeros(len(self.gangs))
        self.free = np.array(self.free)
        for priority in sorted({p for p, _ in self.gangs}, reverse=True):
            self.fill([g for g, (p, _) in enumerate(self.gangs) if p == priority])
        return self.levels

    def fill(self, gangs):
        """One priority: programs until each gang is stopped or at full."""
        place = {g: i for i, g in enumerate(gangs)}
        row = {d: i for i, d in enumerate(self.tight)}
        weights = np.array([float(self.gangs[g][1]) for g in gangs])
        # What a gang uses of each domain at level 1, on straight lines.
        lines = np.zeros((len(self.tight), len(gangs)))
        for (gang, domain), span in self.straight.items():
            if gang in place and domain in row:
                lines[row[domain], place[gang]] += span
        # The same on curves, for each (gang, curve).
        pairs = sorted({(place[g], c) for g, c, _ in self.curved if g in place})
        number = {pair: i for i, pair in enumerate(pairs)}
        bends = np.zeros((len(self.tight), len(pairs)))
        for (gang, curve, domain), count in self.curved.items():
            if gang in place and domain in row:
                full = self.curves[curve][-1][1]
                bends[row[domain], number[place[gang], curve]] += count * full
        rising = np.ones(len(gangs), dtype=bool)
        while rising.any():
            ceiling = 1 / weights[rising].max()
            pace, price = self.program(lines, bends, pairs, weights, rising, ceiling)
            stops = rising & (price * weights > 1e-9)
            level = np.minimum(1, weights * pace)
            if pace >= ceiling * (1 - 1e-12):
                at_full = rising & (weights * ceiling >= 1 - 1e-12)
                level[at_full] = 1
                stops |= at_full
            if not stops.any():
                raise RuntimeError("the program stopped no gang")
            for gang in np.flatnonzero(stops):
                self.levels[gangs[gang]] = level[gang]
            self.free -= lines[:, stops] @ level[stops]
            shares = self.shares(pairs, level)
            kept = np.array([stops[g] for g, _ in pairs], dtype=bool)
            self.free -= bends[:, kept] @ shares[kept]
            np.maximum(self.free, 0, out=self.free)
            rising &= ~stops

    def shares(self, pairs, level):
        """What each (gang, curve) uses at a level, as a share of what it uses at level 1."""
        return np.array(
            [self.use(c, level[g]) / self.curves[c][-1][1] for g, c in pairs]).reshape(-1)

    def program(self, lines, bends, pairs, weights, rising, ceiling):
        """Maximizes the pace; the variables are it, what each gang has beyond it, and the shares of the
        use on curves. Returns the pace, and the price of each gang's bound."""
        gangs = np.flatnonzero(rising)
        column = {g: 1 + i for i, g in enumerate(gangs)}
        here = [i for i, (g, _) in enumerate(pairs) if rising[g]]
        width = 1 + len(gangs) + len(here)
        # Domains that fit even at the ceiling need no row.
        top = np.minimum(1, weights * ceiling)
        most = lines[:, gangs] @ top[gangs] + bends[:, here] @ self.shares(pairs, top)[here]
        rows = np.flatnonzero(most > self.free)
        limits = np.zeros((len(rows), width))
        limits[:, 0] = lines[np.ix_(rows, gangs)] @ weights[gangs]
        limits[:, 1 : 1 + len(gangs)] = lines[np.ix_(rows, gangs)]
        limits[:, 1 + len(gangs) :] = bends[np.ix_(rows, here)]
        right = self.free[rows]
        # All numbers near 1.
        scale = limits.max(axis=1, initial=0)
        limits /= scale[:, None]
        right = right / scale
        pieces, piece_right = [], []
        for place, index in enumerate(here):
            gang, curve = pairs[index]
            points = self.curves[curve]
            full = points[-1][1]
            for (l0, w0), (l1, w1) in zip(points, points[1:]):
                slope = (w1 - w0) / (l1 - l0) / full
                piece = np.zeros(width)
                piece[0] = slope * weights[gang]
                piece[column[gang]] = slope
                piece[1 + len(gangs) + place] = -1
                pieces.append(piece)
                piece_right.append(slope * l0 - w0 / full)
        matrix = np.vstack([limits] + pieces) if pieces else limits
        cost = np.zeros(width)
        cost[0] = -1
        bounds = np.zeros((width, 2))
        bounds[:, 1] = np.inf
        bounds[0, 1] = ceiling
        result = linprog(
            cost, A_ub=csc_matrix(matrix), b_ub=np.concatenate([right, piece_right]),
            bounds=bounds, method="highs",
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10})
        if result.status != 0:
            raise RuntimeError(f"HiGHS: {result.message}")
        price = np.zeros(len(weights))
        price[gangs] = result.lower.marginals[1 : 1 + len(gangs)]
        return result.x[0], price

    def caps(self):
        """The cap of each GPU, not rounded."""
        caps = np.empty(len(self.gang_of))
        for index, gpu in enumerate(self.problem["gpus"]):
            level, curve = self.levels[self.gang_of[index]], self.curve_of[index]
            span = gpu["full_mw"] - gpu["floor_mw"]
            caps[index] = gpu["floor_mw"] + (
                level * span if curve < 0 else self.use(curve, level))
        return caps


# Comparison


class Disagreement(Exception):
    """The program and the reference differ."""


def run_busbar(busbar, arguments):
    return subprocess.run([busbar, "solve", *arguments], capture_output=True, text=True)


def compare(seed, busbar, directory):
    """One problem through both; the row of the results."""
    problem = make_problem(seed)
    path = os.path.join(directory, f"problem-{seed}.json")
    answer_path = os.path.join(directory, f"answer-{seed}.json")
    with open(path, "w") as file:
        json.dump(problem, file, separators=(",", ":"))
    solved = run_busbar(busbar, [path, "-o", "json"])
    with open(answer_path, "w") as file:
        file.write(solved.stdout)
    checked = run_busbar(busbar, [path, "--check", answer_path])
    os.remove(path)
    os.remove(answer_path)
    if checked.returncode != 0:
        raise Disagreement(f"the checker refuses the answer: {checked.stderr}")
    answer = json.loads(solved.stdout)
    reference = Reference(problem)
    if (answer["status"] == "optimal") != reference.feasible:
        raise Disagreement(f"status {answer['status']}")
    gap = 0
    if reference.feasible:
        reference.solve()
        wanted = reference.caps()
        caps = np.array(answer["caps_mw"], dtype=float)
        gap = int(np.abs(np.floor(wanted) - caps).max(initial=0))
        # Rounding down costs less than 1 mW; a tenth is left to the reference's arithmetic.
        worst = int(np.argmax(np.abs(wanted - 0.5 - caps)))
        if abs(wanted[worst] - 0.5 - caps[worst]) > 0.6:
            raise Disagreement(f"GPU {worst}: {caps[worst]} mW, HiGHS {wanted[worst]} mW")
    # Everything but the time that it took.
    text = solved.stdout[: solved.stdout.rindex('"solve_ns"')]
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {
        "seed": str(seed), "gpus": str(len(problem["gpus"])),
        "domains": str(len(problem["domains"])), "gangs": str(len(reference.gangs)),
        "priorities": str(len({p for p, _ in reference.gangs})),
        "curves": str(len(reference.curves)), "status": answer["status"], "gap_mw": str(gap),
        "hash": digest[:16],
    }


def write(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--busbar", required=True, help="the program")
    parser.add_argument("--results", required=True, help="the results that are checked in")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--write", action="store_true", help="write the results, do not compare")
    options = parser.parse_args()
    known = {}
    if not options.write:
        with open(options.results) as file:
            known = {row["seed"]: row for row in csv.DictReader(file)}
    # Without --write, the problems whose results are checked in.
    seeds = [int(seed) for seed in known if int(seed) >= options.first][: options.count]
    if options.write:
        seeds = range(options.first, options.first + options.count)
    rows, failures = [], 0
    with tempfile.TemporaryDirectory() as directory:
        for seed in seeds:
            try:
                row = compare(seed, options.busbar, directory)
                if not options.write and known[str(seed)] != row:
                    raise Disagreement(f"{row} was {known[str(seed)]}")
                rows.append(row)
            except (Disagreement, RuntimeError) as error:
                failures += 1
                print(f"seed {seed}: {error}", file=sys.stderr, flush=True)
            if (len(rows) + failures) % 100 == 0:
                print(f"{len(rows)} agree, {failures} do not", flush=True)
                if options.write:
                    write(options.results, rows)
    if options.write:
        write(options.results, rows)
    gpus = sum(int(row["gpus"]) for row in rows)
    gap = max((int(row["gap_mw"]) for row in rows), default=0)
    infeasible = sum(row["status"] == "infeasible" for row in rows)
    print(
        f"{len(rows)} problems of {gpus} GPUs agree, {infeasible} of them infeasible; largest gap "
        f"{gap} mW; {failures} failures")
    return 1 if failures or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
