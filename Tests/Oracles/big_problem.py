#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a large problem for `busbar solve` to stdout: big_problem.py GPUS > problem.json

Racks of 72 GPUs under rows of 16 under one site, eight feeds as a second tree, gangs of 1 to 97 GPUs of
three priorities and two weights, every fifth one a GPU that rises alone. Some 110 bytes for each GPU.
"""

import sys


def write(count, out):
    racks = -(-count // 72)
    rows = -(-racks // 16)
    out.write('{"domains":[{"name":"site","limit_mw":%d}' % (count * 450_000))
    for row in range(rows):
        limit = 72 * 16 * 500_000
        out.write(',\n{"name":"row%d","parent":"site","limit_mw":%d}' % (row, limit))
    for rack in range(racks):
        limit = 72 * (400_000 + rack * 7919 % 400_000)
        out.write(
            ',\n{"name":"rack%d","parent":"row%d","limit_mw":%d}' % (rack, rack // 16, limit))
    out.write(',\n{"name":"feeds"}')
    for feed in range(8):
        limit = count * 480_000 // 8
        out.write(',\n{"name":"feed%d","parent":"feeds","limit_mw":%d}' % (feed, limit))
    out.write('],\n"gpus":[')
    gang = left = 0
    for gpu in range(count):
        if left == 0:
            gang += 1
            left = 1 + gang * 7919 % 97
        left -= 1
        name = "null" if gang % 5 == 0 else '"job-%d"' % gang
        full = 700_000 + gpu // 72 % 3 * 100_000
        out.write(
            '%s\n{"domains":["rack%d","feed%d"],"floor_mw":200000,"full_mw":%d,"gang":%s,'
            '"priority":%d,"weight":%d}'
            % ("," if gpu else "", gpu // 72, gpu // 8 % 8, full, name, gang % 3, 1 + gang % 2))
    out.write("]}\n")


if __name__ == "__main__":
    write(int(sys.argv[1]), sys.stdout)
