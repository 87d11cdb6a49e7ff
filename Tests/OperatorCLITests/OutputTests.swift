// SPDX-License-Identifier: Apache-2.0

import OperatorCLI
import Testing

/// Goal: what people and scripts read is exact, and fits.
@Suite("Output")
struct OutputTests {
    private var table: Table {
        var table = Table([
            .init("NAME"), .init("WHERE", yield: .flexible), .init("DRAW", .right),
            .init("NOTE", yield: .droppable), .init("MORE", isWideOnly: true),
        ])
        table.append(["n1", "dublin/row1/rack3/shelf", "4.2 kW", "fine", "x"])
        table.append(["n22", "d", "990 W", "silent since noon", "y"])
        return table
    }

    @Test("A table that fits shows all but the wide columns, numbers to the right")
    func fits() {
        #expect(
            table.lines(width: 80) == [
                "NAME  WHERE                      DRAW  NOTE",
                "n1    dublin/row1/rack3/shelf  4.2 kW  fine",
                "n22   d                         990 W  silent since noon",
            ])
    }

    @Test("A table that is too wide is shortened, then loses columns, and never exceeds the width")
    func shrinks() {
        for width in 24...80 {
            #expect(table.lines(width: width).allSatisfy { $0.count <= width }, "width \(width)")
        }
        #expect(table.lines(width: 24)[1] == "n1    dub…/shelf  4.2 kW")
        #expect(table.lines(width: nil)[0].hasSuffix("MORE"))
    }

    @Test("Control characters of a name never reach the terminal")
    func controls() {
        var table = Table([.init("NAME")])
        table.append(["a\u{1b}[2Jb\nc"])
        #expect(table.lines(width: 80)[1] == "a [2Jb c")
    }

    @Test("JSON escapes what must be escaped and keeps the order of members")
    func json() {
        let value = JSONValue.object([
            ("b", .string("a\"\\\n\u{1}é")), ("a", .array([.integer(-1), .null, .bool(true)])),
            ("c", .object([])), ("d", .number(0.25)), ("e", .number(.infinity)),
            ("f", .counter(UInt64.max)),
        ])
        #expect(
            value.text == """
                {
                  "b": "a\\"\\\\\\n\\u0001é",
                  "a": [
                    -1,
                    null,
                    true
                  ],
                  "c": {},
                  "d": 0.25,
                  "e": null,
                  "f": 1.8446744073709552e+19
                }
                """)
    }

    @Test("Quantities carry the unit a person expects, and the unknown is not zero")
    func quantities() {
        #expect(Format.watts(132_000_000) == "132 kW")
        #expect(Format.watts(0, isKnown: false) == "-")
        #expect(Format.watts(UInt64.max) == "-")
        #expect(Format.headroom(1_000_000, minus: 1_250_000) == "-250 W")
        #expect(Format.percent(ppm: 995_000) == "100 %")
        #expect(Format.percent(ppm: 3200) == "0.3 %")
        #expect(Format.gpus(milli: 2460) == "2.46")
        #expect(Format.duration(milliseconds: 200_000) == "3 min 20 s")
        #expect(Format.instant(unixMilliseconds: 1_709_210_096_000) == "2024-02-29T12:34:56Z")
        #expect(Format.instant(unixMilliseconds: 0) == "1970-01-01T00:00:00Z")
    }

    @Test("A failure is one line with a hint, and an object with the same in JSON")
    func failure() {
        let failure = CommandFailure(.notFound, "no job\nj7", hint: "list them")
        #expect(failure.text == "error: no job j7\nhint: list them")
        #expect(failure.json.text.contains("\"code\": 3"))
    }

    @Test("Exit statuses are those that scripts rely on")
    func statuses() {
        #expect(ExitStatus.allCases.map(\.rawValue) == [0, 1, 2, 3, 4, 5, 6, 64])
    }
}
