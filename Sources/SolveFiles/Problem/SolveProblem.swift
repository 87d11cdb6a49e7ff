// SPDX-License-Identifier: Apache-2.0

package import AllocationCore

/// A problem file that was read: the solver's columns, and the names that the file gave to them.
///
/// A GPU without a gang rises alone: it is a gang of its own here, without a name.
package struct SolveProblem: Sendable {
    /// The columns; GPUs in the order of the file, domains with parents before children.
    package internal(set) var problem = PowerProblem()
    /// True for domains of the problem that have no limit in the file; their budget is
    /// ``PowerProblem/maximumBudgetMilliwatts``, which no file can fill.
    package internal(set) var isUnlimited: [Bool] = []
    /// The first GPU of each gang.
    package internal(set) var gangFirstGPU: [Int32] = []
    /// The number of GPUs of each gang.
    package internal(set) var gangGPUCount: [Int32] = []

    /// The names of domains in the order of the file.
    var domainNames = NameTable()
    /// The place in the file of each domain of the problem.
    var fileDomain: [Int32] = []
    /// The place in the problem of each domain of the file.
    var problemDomain: [Int32] = []
    /// The names of gangs.
    var gangNames = NameTable()
    /// The name of each gang of the problem, or -1 for a GPU that rises alone.
    var gangName: [Int32] = []
    /// The gang of the problem that has each name.
    var gangOfName: [Int32] = []

    /// The name of a domain of the problem.
    package func name(ofDomain domain: Int) -> String {
        domainNames.text(Int(fileDomain[domain]))
    }

    /// The name of a gang of the problem; nil for a GPU that rises alone.
    package func name(ofGang gang: Int) -> String? {
        gangName[gang] < 0 ? nil : gangNames.text(Int(gangName[gang]))
    }

    /// A gang as people call it: its name, or `GPU 17`.
    package func title(ofGang gang: Int) -> String {
        name(ofGang: gang) ?? "GPU \(gangFirstGPU[gang])"
    }

    /// Reads a problem file.
    ///
    /// - Parameter bytes: the whole file.
    /// - Returns: the problem; ``PowerProblem/firstDefect()`` of it is nil.
    /// - Throws: the first thing that is wrong, with its path.
    ///
    /// Complexity: two passes over the bytes of `gpus` where that key comes before `domains`, else one.
    package static func read(
        _ bytes: UnsafeRawBufferPointer
    ) throws(SolveFileError) -> SolveProblem {
        var builder = SolveProblemBuilder()
        var reader = JSONReader(bytes)
        do throws(SolveFileError) {
            return try builder.read(&reader)
        } catch {
            throw error.locate(in: bytes)
        }
    }

    /// Reads a problem file that is held as an array.
    package static func read(_ bytes: [UInt8]) throws(SolveFileError) -> SolveProblem {
        let result = bytes.withUnsafeBytes { buffer in
            Result { () throws(SolveFileError) in try SolveProblem.read(buffer) }
        }
        return try result.get()
    }
}

/// The bounds of problem files, beside those of ``PowerProblem``.
package enum SolveFileLimits {
    /// The most bytes of a file: 8 million GPUs of 128 bytes.
    package static let byteCount = 1 << 30
    /// The most domains.
    static let domainCount = 1 << 20
    /// The most domains from a root down to a leaf.
    static let depth = 64
    /// The most domains that one GPU names.
    static let domainsOfGPU = 16
    /// The most bytes of a name.
    static let nameByteCount = 256
    /// What ``PowerSolution/atFull`` reads in `bound_by`; no domain may have that name.
    static let atFull = "full"
}
