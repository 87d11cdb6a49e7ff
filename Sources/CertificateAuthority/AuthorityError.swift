// SPDX-License-Identifier: Apache-2.0

/// Why an authority or a certificate could not be made or read.
package struct AuthorityError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What is wrong and where, as a sentence without a full stop.
    package var message: String

    /// Makes an error.
    ///
    /// - Parameter message: what is wrong and where.
    package init(message: String) { self.message = message }

    package var description: String { message }
}
