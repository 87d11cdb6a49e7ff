// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Yams

/// Checks what the sample jobs of a topology file refer to, and that their names differ.
struct JobReferences {
    let topology: Topology
    let diagnostics: Diagnostics

    /// Checks every job, and gives models the spelling that the topology has.
    func check(_ entries: inout [JobReader.Entry]) {
        let models = topology.gpuModels.map(\.name)
        let sites = topology.sites.map(\.name)
        let levels = Set(topology.domains.filter { $0.tree == 0 }.map(\.level)).sorted()
        var names: Set<String> = []
        for position in entries.indices {
            let entry = entries[position]
            if !names.insert(entry.spec.name).inserted {
                diagnostics.report("job '\(entry.spec.name)' is there twice", at: entry.mark)
            }
            entries[position].spec.models = entry.models.map { model in
                if let known = models.first(where: { $0.lowercased() == model.value.lowercased() })
                {
                    return known
                }
                report(model, "GPU model", known: models)
                return model.value
            }
            for site in entry.sites where !sites.contains(site.value) {
                report(site, "site", known: sites)
            }
            for level in entry.levels where !levels.contains(level.value) {
                report(level, "level", known: levels)
            }
            checkSelector(entry)
        }
    }

    private func report(_ text: Located<String>, _ kind: String, known: [String]) {
        diagnostics.report(
            "unknown \(kind) '\(printable(text.value))'", at: text.mark,
            hint: Suggestion.hint(for: text.value, among: known, kind: "\(kind)s"))
    }

    private func checkSelector(_ entry: JobReader.Entry) {
        let selector = entry.spec.selector
        if selector.isEmpty { return }
        let isCarried = topology.nodeTypes.contains { type in
            selector.allSatisfy { type.labels[$0.key] == $0.value }
        }
        if isCarried { return }
        diagnostics.report(
            "no node type carries the labels of job '\(entry.spec.name)'", at: entry.mark)
    }
}
