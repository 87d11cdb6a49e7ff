// SPDX-License-Identifier: Apache-2.0

extension StoreBatch {
    /// Checks what every store requires of a batch.
    ///
    /// - Throws: ``StoreError/invalid(_:)`` for an empty batch, a bad key, a key named twice, or a
    ///   batch over ``StoreLimits``.
    package func validate() throws(StoreError) {
        if entries.isEmpty { throw .invalid("an empty batch") }
        if entries.count > StoreLimits.maximumEntryCount {
            throw .invalid(
                "\(entries.count) entries in a batch; at most \(StoreLimits.maximumEntryCount)")
        }
        var byteCount = 0
        var seen: Set<String> = []
        for entry in entries {
            try StoreKey.validate(entry.key)
            guard seen.insert(entry.key).inserted else {
                throw .invalid("key '\(entry.key)' twice in a batch")
            }
            byteCount += entry.key.utf8.count
            if case .put(let value) = entry.operation { byteCount += value.count }
        }
        if byteCount > StoreLimits.maximumBatchByteCount {
            throw .invalid(
                "a batch of \(byteCount) bytes; at most \(StoreLimits.maximumBatchByteCount)")
        }
    }
}

/// The rule for keys of records and for names of roles.
package enum StoreKey {
    /// Checks that a key is 1 to ``StoreLimits/maximumKeyByteCount`` bytes of printable ASCII without
    /// spaces.
    ///
    /// - Throws: ``StoreError/invalid(_:)``.
    package static func validate(_ key: String) throws(StoreError) {
        let bytes = key.utf8
        if bytes.isEmpty { throw .invalid("an empty key") }
        if bytes.count > StoreLimits.maximumKeyByteCount {
            throw .invalid("a key of \(bytes.count) bytes")
        }
        guard bytes.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw .invalid("key '\(key)' has a character that is not printable ASCII")
        }
    }
}
