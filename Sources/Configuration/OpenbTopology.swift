// SPDX-License-Identifier: Apache-2.0

import FleetModel

/// Makes a topology file out of the node list of Alibaba's cluster-trace-gpu-v2023.
///
/// The trace names servers, not the power that feeds them, so the rooms are invented: racks of 8
/// servers in the order of the list, rows of 10 racks, two sites with half of the rows each. Every
/// limit is 85 % of what the GPUs below it draw at most, in the three rows with the most of it 60 %.
/// Same list, same bytes.
package enum OpenbTopology {
    static let nodesPerRack = 8
    static let racksPerRow = 10
    static let tightRowCount = 3
    static let limitPercent: Int64 = 85
    static let tightPercent: Int64 = 60
    /// Of a model's maximum: the least cap, the fallback and the floor of a job.
    static let minimumCapPercent: Int64 = 30
    static let fallbackPercent: Int64 = 40
    static let floorPercent: Int64 = 50

    /// Idle and full draw of the models of the trace, as the authors of the published placement
    /// studies on it set them.
    private static let models: [(name: String, idle: Int64, full: Int64, gib: UInt32)] = [
        ("G2", 30, 150, 24), ("T4", 10, 70, 16), ("G3", 50, 400, 80), ("P100", 25, 250, 16),
        ("V100M32", 30, 300, 32), ("V100M16", 30, 300, 16), ("A10", 30, 150, 24),
    ]

    /// Writes the topology file for a list of servers.
    ///
    /// - Parameters:
    ///   - nodes: the servers, as ``NodeList`` reads them.
    ///   - listName: the list's name in errors.
    /// - Returns: the text of the file; reading it gives a valid topology.
    /// - Throws: ``ConfigurationError`` at a server whose model is not one of the trace's.
    package static func yaml(
        nodes: [ListedNode], listName: String
    ) throws(ConfigurationError) -> String {
        for node in nodes where full(node.model) == nil {
            throw ConfigurationError(
                file: listName, line: node.line,
                "there are no figures for GPU model '\(node.model)'",
                hint: "known models: " + models.map(\.name).joined(separator: ", "))
        }
        let racks = chunks(of: nodes, size: nodesPerRack)
        let rows = chunks(of: racks, size: racksPerRow)
        let ranked = rows.indices.sorted {
            (-maximum(rows[$0].flatMap(\.self)), $0) < (-maximum(rows[$1].flatMap(\.self)), $1)
        }
        let tight = Set(ranked.prefix(tightRowCount))
        let half = (rows.count + 1) / 2
        var text = header + modelTable() + typeTable(nodes) + "\nsites:\n"
        text += site("east", rows: 0..<half, of: rows, tight: tight)
        if half < rows.count {
            text += site("west", rows: half..<rows.count, of: rows, tight: tight)
        }
        return text
    }

    // MARK: - Parts of the file

    private static let header = """
        # SPDX-License-Identifier: Apache-2.0
        #
        # Generated from the node list of a production GPU cluster (Alibaba cluster-trace-gpu-v2023)
        # by `busbar topology openb --nodes Tests/Data/openb/openb_node_list_gpu_node.csv`.
        # Do not edit: change the generator and run it again.
        #
        # The servers are the trace's; the rooms are invented. Racks of \(nodesPerRack) servers in \
        the order of the
        # list, rows of \(racksPerRow) racks, two sites. Limits are \(limitPercent) % of what the \
        GPUs below draw at most, and
        # \(tightPercent) % in the \(tightRowCount) rows with the most of it. They count GPUs \
        alone, so overheads are zero.

        fleet: openb

        # Idle and full draw are those of published placement studies on this trace. The least caps
        # and floors are assumptions: a real T4, for one, takes no cap below 60 W.
        gpu_models:

        """

    private static func modelTable() -> String {
        models.map { model in
            """
              - name: \(model.name)
                vendor: nvidia
                idle: \(model.idle) W
                min_cap: \(percent(minimumCapPercent, ofWatts: model.full))
                max_cap: \(model.full) W
                floor: \(percent(floorPercent, ofWatts: model.full))
                memory: \(model.gib) GiB
                estimate: true
                source: published placement studies on the trace; caps and floor are assumptions

            """
        }.joined()
    }

    private static func typeTable(_ nodes: [ListedNode]) -> String {
        var text = "\nnode_types:\n"
        var seen: Set<String> = []
        for node in nodes where seen.insert(typeName(node)).inserted {
            let watts = (full(node.model) ?? 0) * Int64(node.gpuCount)
            text += """
                  - name: \(typeName(node))
                    model: \(node.model)
                    gpus: \(node.gpuCount)
                    cpus: \(decimal(milli: Int64(node.cpuMilli)))
                    memory: \(node.memoryMiB) MiB
                    fallback: \(percent(fallbackPercent, ofWatts: watts))
                    class: S

                """
        }
        return text
    }

    private static func site(
        _ name: String, rows range: Range<Int>, of rows: [[[ListedNode]]], tight: Set<Int>
    ) -> String {
        let all = range.flatMap { rows[$0].flatMap(\.self) }
        var text = """
              - name: \(name)
                limit: \(percent(limitPercent, ofWatts: maximum(all)))
                domains:

            """
        for position in range {
            let nodes = rows[position].flatMap(\.self)
            let share = tight.contains(position) ? tightPercent : limitPercent
            text += """
                      - name: row\(position < 9 ? "0" : "")\(position + 1)
                        limit: \(percent(share, ofWatts: maximum(nodes)))
                        domains:

                """
            for (rack, nodes) in rows[position].enumerated() {
                text += self.rack(rack, nodes)
            }
        }
        return text
    }

    private static func rack(_ position: Int, _ nodes: [ListedNode]) -> String {
        var text = """
                      - name: rack\(position < 9 ? "0" : "")\(position + 1)
                        limit: \(percent(limitPercent, ofWatts: maximum(nodes)))
                        nodes:

            """
        // Servers stay in the order of the list: neighbours of one type share a line.
        var rest = nodes[...]
        while let first = rest.first {
            let group = rest.prefix { typeName($0) == typeName(first) }
            rest = rest.dropFirst(group.count)
            let names = HostList.compress(group.map(\.name))
            text += """
                            - {names: "\(names)", type: \(typeName(first))}

                """
        }
        return text
    }

    // MARK: - Figures

    private static func full(_ model: String) -> Int64? {
        models.first { $0.name == model }?.full
    }

    /// What the GPUs of some servers draw at most, in watts.
    private static func maximum(_ nodes: [ListedNode]) -> Int64 {
        nodes.reduce(0) { $0 + (full($1.model) ?? 0) * Int64($1.gpuCount) }
    }

    private static func typeName(_ node: ListedNode) -> String {
        "\(node.model.lowercased())-\(node.gpuCount)x-\(decimal(milli: Int64(node.cpuMilli)))c-"
            + "\(node.memoryMiB / 1024)g"
    }

    /// A share of a power, exact to the milliwatt.
    private static func percent(_ percent: Int64, ofWatts watts: Int64) -> String {
        decimal(milli: watts * 10 * percent) + " W"
    }

    /// Thousandths as a decimal number without trailing zeros.
    private static func decimal(milli: Int64) -> String {
        var digits = String(milli % 1000 + 1000).dropFirst()
        while digits.last == "0" { digits.removeLast() }
        return digits.isEmpty ? "\(milli / 1000)" : "\(milli / 1000).\(digits)"
    }

    private static func chunks<Element>(of elements: [Element], size: Int) -> [[Element]] {
        stride(from: 0, to: elements.count, by: size).map {
            Array(elements[$0..<min($0 + size, elements.count)])
        }
    }
}
