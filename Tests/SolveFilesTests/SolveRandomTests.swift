// SPDX-License-Identifier: Apache-2.0

// Goal: any problem that is written as a file reads back as itself, its answer is accepted, and damaged
// files never crash the reader. Method: seeded random files of several trees, then random damage.

import AllocationCore
import Testing

@testable import SolveFiles

@Suite("Random problem files")
struct SolveRandomTests {
    /// SplitMix64.
    private struct Generator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = state
            mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
            return mixed ^ (mixed >> 31)
        }

        mutating func pick(_ range: ClosedRange<Int>) -> Int {
            range.lowerBound + Int(next() % UInt64(range.count))
        }
    }

    /// A file of up to three trees, each GPU hanging from any of them in any order.
    private static func text(_ generator: inout Generator) -> String {
        var trees: [[String]] = []
        var domains: [String] = []
        for tree in 0..<generator.pick(1...3) {
            var names: [String] = []
            for index in 0..<generator.pick(1...5) {
                let parent = names.isEmpty ? "null" : "\"\(names[generator.pick(0...index - 1)])\""
                names.append("t\(tree)d\(index)")
                let limit =
                    generator.pick(0...4) == 0 ? "" : ",\"limit_mw\":\(generator.pick(0...9000))"
                domains.append("{\"name\":\"\(names[index])\",\"parent\":\(parent)\(limit)}")
            }
            trees.append(names)
        }
        // Children may stand before their parents.
        for index in domains.indices { domains.swapAt(index, generator.pick(0...index)) }
        let gangs = (0..<4).map { _ in (generator.pick(-1...1), generator.pick(1...3)) }
        let gpus = (0..<generator.pick(0...12)).map { _ in
            var leaves: [String] = []
            for tree in trees where generator.pick(0...3) > 0 {
                leaves.insert(
                    "\"\(tree[generator.pick(0...tree.count - 1)])\"",
                    at: generator.pick(0...leaves.count))
            }
            let floor = generator.pick(0...300)
            let full = floor + generator.pick(0...1500)
            let gang = generator.pick(0...5)
            let traits = gang < 4 ? gangs[gang] : (generator.pick(-1...1), 1)
            return "{\"domains\":[\(leaves.joined(separator: ","))],\"floor_mw\":\(floor),"
                + "\"full_mw\":\(full),\"gang\":\(gang < 4 ? "\"g\(gang)\"" : "null"),"
                + "\"priority\":\(traits.0),\"weight\":\(traits.1)}"
        }
        return "{\"domains\":[\(domains.joined(separator: ","))],"
            + "\"gpus\":[\(gpus.joined(separator: ","))]}"
    }

    @Test("Every answer to a random file is accepted", arguments: 1...4)
    func answers(seed: Int) throws {
        var generator = Generator(state: UInt64(seed))
        var infeasible = 0
        for index in 0..<150 {
            let text = Self.text(&generator)
            let problem = try read(text)
            #expect(problem.problem.firstDefect() == nil, "seed \(seed), file \(index): \(text)")
            let answer = problem.solvedJSON()
            if answer.contains("infeasible") { infeasible += 1 }
            let violation = try problem.firstViolation(inClaim: Array(answer.utf8))
            #expect(violation == nil, "seed \(seed), file \(index): \(violation!): \(text)")
        }
        #expect((8...75).contains(infeasible), "\(infeasible)")
    }

    @Test("Random damage to both files is read or refused, and changes no answer", arguments: 1...4)
    func damage(seed: Int) throws {
        var generator = Generator(state: UInt64(seed))
        for _ in 0..<60 {
            let text = Array(Self.text(&generator).utf8)
            let problem = try SolveProblem.read(text)
            let answer = Array(problem.solvedJSON().utf8)
            for _ in 0..<10 {
                _ = try? SolveProblem.read(Self.damaged(text, &generator))
                let claim = Self.damaged(answer, &generator)
                guard let violation = try? problem.firstViolation(inClaim: claim) else { continue }
                #expect(claim != answer, "\(violation)")
            }
        }
    }

    private static func damaged(_ bytes: [UInt8], _ generator: inout Generator) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<generator.pick(1...3) where !bytes.isEmpty {
            let place = generator.pick(0...bytes.count - 1)
            switch generator.pick(0...3) {
            case 0: bytes[place] = UInt8(truncatingIfNeeded: generator.next())
            case 1: bytes.remove(at: place)
            case 2: bytes[place] = Array("\"[]{},:0915-e.\\ n".utf8)[generator.pick(0...16)]
            default: bytes.removeSubrange(place...min(bytes.count - 1, place + 20))
            }
        }
        return bytes
    }
}
