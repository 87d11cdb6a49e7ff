// SPDX-License-Identifier: Apache-2.0

package import DecisionStore

/// Records that say something about the store itself, not about the fleet.
///
/// They lie beside the others; whoever opens a store takes them out first.
package enum StoreMark: String, CaseIterable, Sendable {
    /// A copy into the store has begun and has not been finished: what is there is not whole.
    case incomplete = "store/incomplete"
    /// Everything was copied elsewhere; the value says where.
    case moved = "store/moved"
}

/// What a snapshot says of its store, apart from the fleet's records.
package struct StoreMarks: Hashable, Sendable {
    /// The values of the marks that are there.
    package private(set) var values: [StoreMark: String] = [:]

    /// Takes the marks out of a snapshot.
    package init(takenFrom snapshot: inout StoreSnapshot) {
        for mark in StoreMark.allCases {
            guard let index = snapshot.records.firstIndex(where: { $0.key == mark.rawValue })
            else { continue }
            values[mark] = String(
                decoding: snapshot.records.remove(at: index).value, as: UTF8.self)
        }
    }

    /// Why the store must not be led by a coordinator; nil when it may.
    package var refusal: String? {
        if values[.incomplete] != nil {
            return "a copy into this store was not finished; run it again"
        }
        if let place = values[.moved] { return "this store was moved to \(place)" }
        return nil
    }
}
