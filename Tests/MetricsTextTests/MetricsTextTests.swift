// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import MetricsText

/// Goal: a page is what the Prometheus text format asks for, byte by byte.
@Suite("Metrics text")
struct MetricsTextTests {
    @Test("A family writes its help, its type and its samples")
    func familyWithSamples() {
        var page = MetricsText()
        page.family("busbar_sessions", .gauge, "Open agent sessions.")
        page.sample(labels: [("site", "dublin")], 16)
        page.sample(labels: [("site", "oslo"), ("class", "S")], 0)
        #expect(
            page.text == """
                # HELP busbar_sessions Open agent sessions.
                # TYPE busbar_sessions gauge
                busbar_sessions{site="dublin"} 16
                busbar_sessions{site="oslo",class="S"} 0

                """)
    }

    @Test(
        "Thousandths are written exactly",
        arguments: [
            (0, "0"), (1, "0.001"), (1000, "1"), (132_000_500, "132000.500"), (-1500, "-1.500"),
            (Int64.max, "9223372036854775.807"),
        ])
    func milliunits(value: Int64, text: String) {
        var page = MetricsText()
        page.family("busbar_site_draw_watts", .gauge, "Draw.")
        page.sample(milliunits: value)
        #expect(page.text.hasSuffix("busbar_site_draw_watts \(text)\n"))
    }

    @Test("Quotes, backslashes and line feeds are escaped in label values")
    func escaping() {
        var page = MetricsText()
        page.family("busbar_events_total", .counter, "A \\ and a\nline feed.")
        page.sample(labels: [("reason", "say \"no\"\\\n")], 1)
        #expect(page.text.contains(#"# HELP busbar_events_total A \\ and a\nline feed."#))
        #expect(page.text.contains(#"{reason="say \"no\"\\\n"} 1"#))
    }
}
