import Synchronization

/// Options of a program's build: `"-DVEC=\(vector) "`, kept as the literals and numbers that it is written from.
///
/// A kernel is looked up by its options at every launch, so they are told apart without a string being put
/// together: a literal by its place in the binary. Options of one text from two places differ; ``KernelLibrary``
/// finds the same kernel for both.
struct KernelOptions: Sendable {
  /// A text that is never freed and its bytes, or a number without a text. Pieces are copied as plain bytes.
  private struct Piece: Equatable, @unchecked Sendable {
    let text: UnsafePointer<UInt8>?
    let number: Int
  }

  private var pieces: [Piece] = []
  /// Of the pieces, so that hashing need not walk them.
  private var digest = 0

  /// What a compiler gets.
  var text: String {
    pieces.reduce(into: "") { text, piece in
      text +=
        piece.text.map {
          String(decoding: UnsafeBufferPointer(start: $0, count: piece.number), as: UTF8.self)
        }
        ?? String(piece.number)
    }
  }

  private mutating func append(_ piece: Piece) {
    // Fibonacci hashing, a step for each piece.
    digest = (digest ^ Int(bitPattern: piece.text) ^ piece.number) &* 0x1E37_79B9_7F4A_7C15
    digest ^= digest >> 29
    pieces.append(piece)
  }

  private mutating func append(_ literal: StaticString) {
    guard literal.utf8CodeUnitCount > 0 else { return }
    append(Piece(text: literal.utf8Start, number: literal.utf8CodeUnitCount))
  }

  static func += (options: inout KernelOptions, more: KernelOptions) {
    if options.pieces.isEmpty {
      options = more
    } else {
      for piece in more.pieces { options.append(piece) }
    }
  }

  static func + (options: consuming KernelOptions, more: KernelOptions) -> KernelOptions {
    options += more
    return options
  }

  /// Names that are no literals, each once and for the process's life: tables' parameters, which are few.
  private static let names = Mutex<[String: Int]>([:])

  private static func permanent(_ name: String) -> Piece {
    let bytes = Array(name.utf8)
    let place = names.withLock { names in
      if let place = names[name] { return place }
      let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
      copy.initialize(from: bytes, count: bytes.count)
      names[name] = Int(bitPattern: copy)
      return Int(bitPattern: copy)
    }
    return Piece(text: UnsafePointer(bitPattern: place), number: bytes.count)
  }
}

extension KernelOptions: Hashable {
  static func == (a: KernelOptions, b: KernelOptions) -> Bool {
    a.digest == b.digest && a.pieces == b.pieces
  }

  func hash(into hasher: inout Hasher) { hasher.combine(digest) }
}

extension KernelOptions: ExpressibleByStringInterpolation {
  struct StringInterpolation: StringInterpolationProtocol {
    fileprivate var options = KernelOptions()

    init(literalCapacity: Int, interpolationCount: Int) {
      // Room for what is added behind, too: options are mostly sums.
      options.pieces.reserveCapacity(2 * interpolationCount + 16)
    }

    mutating func appendLiteral(_ literal: StaticString) { options.append(literal) }

    mutating func appendInterpolation(_ number: Int) { options.append(Piece(text: nil, number: number)) }

    mutating func appendInterpolation(name: String) { options.append(KernelOptions.permanent(name)) }
  }

  init(stringLiteral: StaticString) { append(stringLiteral) }

  init(stringInterpolation: StringInterpolation) { self = stringInterpolation.options }
}
