// SPDX-License-Identifier: Apache-2.0

package import TLSEngine

/// Why a connection ended, or never came to be.
package enum CloseReason: Error, Hashable, Sendable, CustomStringConvertible {
    /// The peer closed in order.
    case closedByPeer
    /// This side closed in order.
    case closedHere
    /// This side was not satisfied with what the peer sent; the text says why.
    case rejected(String)
    /// TLS failed, in the handshake or later.
    case tls(TLSFailure)
    /// The handshake took too long.
    case handshakeTimedOut
    /// A frame or record was begun and not ended in time.
    case frameTimedOut
    /// A frame is announced longer than is taken in here.
    case frameTooLong(byteCount: Int, limit: Int)
    /// A frame of no bytes, which no protocol here has.
    case frameEmpty
    /// A frame that this side was to send is empty or longer than the protocol allows: a fault here.
    case unsendable(byteCount: Int, limit: Int)
    /// No frame came for too long.
    case silent
    /// The peer took no bytes for too long.
    case stalled
    /// More bytes wait for the peer than is allowed.
    case backlogFull
    /// So many connections were made that this one has to make room.
    case crowdedOut
    /// The socket failed.
    case lost(String)

    /// Whether both sides meant it so.
    package var isOrderly: Bool { self == .closedByPeer || self == .closedHere }

    package var description: String {
        switch self {
        case .closedByPeer: "closed by the peer"
        case .closedHere: "closed by this side"
        case .rejected(let text): text
        case .tls(let failure): failure.description
        case .handshakeTimedOut: "no handshake in time"
        case .frameTimedOut: "a frame did not end in time"
        case .frameTooLong(let byteCount, let limit):
            "a frame of \(byteCount) bytes, more than the \(limit) allowed"
        case .frameEmpty: "an empty frame"
        case .unsendable(let byteCount, let limit):
            "a frame of \(byteCount) bytes was to be sent, of 1 to \(limit)"
        case .silent: "no frame for too long"
        case .stalled: "peer does not read what is sent to it"
        case .backlogFull: "too many bytes wait for the peer"
        case .crowdedOut: "too many connections"
        case .lost(let text): "connection lost: \(text)"
        }
    }
}
