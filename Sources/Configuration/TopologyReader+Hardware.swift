// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Yams

extension TopologyReader {
    private static let modelKeys = [
        "name", "vendor", "idle", "min_cap", "max_cap", "floor", "memory", "estimate", "source",
    ]
    private static let nodeTypeKeys = [
        "name", "model", "gpus", "cpus", "memory", "fallback", "class", "boots_at", "settle",
        "labels",
    ]
    /// How long a lowered cap takes to hold when a type does not say: no vendor publishes it, and
    /// the averaging window of the sensors is of this order.
    static let defaultSettleNanoseconds: Int64 = 100_000_000

    /// Reads one element of `gpu_models`.
    mutating func readModel(_ node: YAMLNode) {
        guard let fields = Fields(node, what: "a GPU model", known: Self.modelKeys, diagnostics),
            let name = fields.text("name", required: true)
        else { return }
        checkName(name, of: "a GPU model")
        guard let idle = fields.quantity("idle", required: true, Quantity.power),
            let minimumCap = fields.quantity("min_cap", required: true, Quantity.power),
            let maximumCap = fields.quantity("max_cap", required: true, Quantity.power)
        else { return }
        let model = GPUModel(
            name: name.value, vendor: fields.choice("vendor", default: .other), idle: idle,
            minimumCap: minimumCap, maximumCap: maximumCap,
            defaultFloor: fields.quantity(
                "floor",
                default: GPUCatalogue.defaultFloor(
                    minimumCap: minimumCap, maximumCap: maximumCap), Quantity.power),
            memoryMiB: fields.quantity("memory", default: 0, Quantity.memory),
            isEstimate: fields.flag("estimate", default: false),
            source: fields.text("source")?.value ?? "the topology file")
        if let problem = model.problem() {
            diagnostics.report("\(fields.what) \(problem)", at: fields.mark)
        }
        if !models.define(model) {
            diagnostics.report("\(fields.what) is defined twice", at: name.mark)
        }
    }

    /// Reads one element of `node_types`.
    mutating func readNodeType(_ node: YAMLNode) {
        guard let fields = Fields(node, what: "a node type", known: Self.nodeTypeKeys, diagnostics),
            let name = fields.text("name", required: true)
        else { return }
        checkName(name, of: "a node type")
        if nodeTypePositions[name.value] != nil {
            diagnostics.report("\(fields.what) is defined twice", at: name.mark)
            return
        }
        // Known from here on, so that one mistake in a type is not reported at each use of it.
        nodeTypePositions[name.value] = nodeTypePositions.count
        let model = model(of: fields)
        let gpuCount = fields.quantity("gpus", required: true) { text throws(Quantity.Problem) in
            try Quantity.integer(text, in: 1...Int64(TelemetryReport.maximumGPUCount))
        }
        let cpuMilli = fields.quantity("cpus", required: true, Quantity.cpus)
        let memoryMiB = fields.quantity("memory", required: true, Quantity.memory)
        let fallback = fields.quantity("fallback", required: true, Quantity.power)
        let type = NodeType(
            name: name.value, model: model ?? ModelIndex(0), gpuCount: UInt16(gpuCount ?? 1),
            cpuMilli: cpuMilli ?? 0, memoryMiB: memoryMiB ?? 0, fallback: fallback ?? .zero,
            enforcementClass: fields.choice("class", default: .unsupervised),
            bootState: fields.choice("boots_at", default: .default),
            settleNanoseconds: fields.quantity(
                "settle", default: Self.defaultSettleNanoseconds, Quantity.duration),
            labels: fields.labels("labels"))
        nodeTypes.append(type)
        guard let model, gpuCount != nil, fallback != nil else { return }
        if let problem = type.problem(model: models.used[model.position]) {
            diagnostics.report("\(fields.what) \(problem)", at: fields.mark(of: "fallback"))
        }
    }

    private mutating func model(of fields: Fields) -> ModelIndex? {
        guard let text = fields.text("model", required: true) else { return nil }
        if let model = models.use(text.value) { return model }
        diagnostics.report(
            "\(fields.what) has an unknown GPU model '\(printable(text.value))'", at: text.mark,
            hint: Suggestion.hint(for: text.value, among: models.names, kind: "models"))
        return nil
    }
}
