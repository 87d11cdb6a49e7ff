// SPDX-License-Identifier: Apache-2.0

/// Bytes that a column has room for.
func storageBytes<Element>(_ column: [Element]) -> Int {
    column.capacity * MemoryLayout<Element>.stride
}

extension PowerProblem {
    /// Bytes that the columns have room for.
    package var storageByteCount: Int {
        var bytes = storageBytes(domainParent) + storageBytes(domainBudgetMilliwatts)
        bytes += storageBytes(gpuFloorMilliwatts) + storageBytes(gpuFullMilliwatts)
        bytes += storageBytes(gpuGang) + storageBytes(gpuCurve)
        for leaves in gpuLeaf { bytes += storageBytes(leaves) }
        bytes += storageBytes(gangPriority) + storageBytes(gangWeight)
        bytes += storageBytes(curves.starts) + storageBytes(curves.levels)
        return bytes + storageBytes(curves.milliwatts) + storageBytes(curves.slopes)
    }
}

extension PowerSolution {
    /// Bytes that the columns have room for.
    package var storageByteCount: Int {
        storageBytes(capMilliwatts) + storageBytes(certificate.level)
            + storageBytes(certificate.boundBy) + storageBytes(shortfalls)
    }
}
