// SPDX-License-Identifier: Apache-2.0

import Configuration
import FleetModel
import Foundation

/// A good topology file of three servers, with a part of it replaced.
///
/// - Parameters:
///   - old: text that must be there once.
///   - new: what stands in its place.
/// - Returns: the whole file.
func file(replacing old: String = "", with new: String = "") -> String {
    guard !old.isEmpty else { return goodFile }
    precondition(goodFile.components(separatedBy: old).count == 2, "'\(old)' is not there once")
    return goodFile.replacingOccurrences(of: old, with: new)
}

func parse(_ text: String) throws(ConfigurationError) -> FleetFile {
    try FleetFile.parse(Array(text.utf8), name: "f.yaml")
}

/// The error that a text is refused with, one line for each problem; empty when it is accepted.
func refusal(_ text: String) -> String {
    do throws(ConfigurationError) {
        _ = try parse(text)
        return ""
    } catch {
        return error.description
    }
}

let goodFile = """
    fleet: test
    lease:
      term: 20 s
    gpu_models:
      - name: Tiny
        idle: 10 W
        min_cap: 50 W
        max_cap: 100 W
    node_types:
      - name: big
        model: H100-SXM
        gpus: 8
        cpus: 96
        memory: 1 TiB
        fallback: 1600 W
        class: S
        labels: {pool: a}
      - name: small
        model: Tiny
        gpus: 2
        cpus: 0.5
        memory: 1 GiB
        fallback: 150 W
    sites:
      - name: a
        limit: 20 kW
        domains:
          - name: r1
            limit: 4 kW
            overhead: 500 W
            nodes:
              - {names: "n[1-2]", type: big}
          - name: r2
            limit: 1 kW
            nodes:
              - {names: n3, type: small}
        feeds:
          - name: b
            limit: 5 kW
            carries: [r1, n3]
    jobs:
      - name: j1
        gpus: 1
        cpus: 1
    """
