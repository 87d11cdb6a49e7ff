// SPDX-License-Identifier: Apache-2.0

package import NIOCore
package import TLSEngine

/// How long a peer may take, and how much may wait for it.
package struct TransportLimits: Sendable {
    /// From the accepted or dialed connection to the verified peer.
    package var handshake: TimeAmount = .seconds(5)
    /// From the first byte of a frame, or of a TLS record, to its last.
    package var frame: TimeAmount = .seconds(5)
    /// Without one whole frame from the peer; protocols that are not named may be silent.
    package var silence: [ApplicationProtocol: TimeAmount] = [:]
    /// With bytes waiting that the peer does not take.
    package var stall: TimeAmount = .seconds(10)
    /// From this side's last message to the end of the connection, while the peer reads it.
    package var farewell: TimeAmount = .seconds(1)
    /// The most bytes of frames that wait for a peer beyond what the socket holds.
    ///
    /// The connection is cut at the next. It must hold at least one of the largest frames.
    package var backlogByteCount = 4 << 20

    /// The limits that suit sites and fleets.
    package init() {}
}
