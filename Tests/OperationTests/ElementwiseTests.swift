import Basics
import Tensors
import TestSupport
import Testing

extension Operations {
  @Suite struct ElementwiseTests {
    static let sizes = [(1, 1), (2, 7), (3, 64), (7, 129), (16, 33), (33, 16), (65, 5)]
    /// Both sides of every overflow and underflow that an exponential can meet.
    static let extremes: [Float] = [
      0, -0.0, 1e-8, -1e-8, 0.5, -0.5, 3, -3, 8.9, -8.9, 20, -20, 60, -60, 87, -87, 89, -89, 104, -104, 1000,
      -1000, 1e9, -1e9,
    ]

    @Test(arguments: BackendUnderTest.all)
    func siluMulFollowsTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      for (index, (rows, width)) in Self.sizes.enumerated() {
        var random = TestRandom(UInt64(index))
        let gate = random.activations(rows * width)
        let up = random.activations(rows * width)
        let fused = index % 2 == 0
        // As a model has them: two halves of one wide product.
        let actual = try backend.siluMul(
          gate: fused ? backend.columns(gate, width, before: 0, after: width) : backend.matrix(gate, width),
          up: fused ? backend.columns(up, width, before: width, after: 0) : backend.matrix(up, width))
        #expect(actual.shape == [rows, width])
        try expectClose(
          backend, actual, Reference.siluMul(gate: gate.doubles, up: up.doubles), Tolerances.siluMul,
          "[\(rows), \(width)]")
      }
      let gate = Self.extremes
      let up = gate.map { _ in Float(1.5) }
      let actual = try backend.siluMul(
        gate: backend.matrix(gate, gate.count), up: backend.matrix(up, gate.count))
      try expectClose(
        backend, actual, Reference.siluMul(gate: gate.doubles, up: up.doubles), Tolerances.siluMul,
        absolute: 1e-30, "extremes")
    }

    @Test(arguments: BackendUnderTest.all, GELU.Form.allCases)
    func geluFollowsTheReference(_ backend: BackendUnderTest, _ form: GELU.Form) throws {
      let backend = try backend.backend
      for (index, (rows, width)) in Self.sizes.enumerated() {
        var random = TestRandom(UInt64(index))
        let x = random.activations(rows * width)
        let input = index % 2 == 0 ? try backend.matrix(x, width) : try backend.columns(x, width)
        let actual = try backend.gelu(input, form)
        #expect(actual.shape == [rows, width])
        try expectClose(backend, actual, Reference.gelu(x.doubles, form), Tolerances.gelu)
      }
      let x = Self.extremes
      try expectClose(
        backend, try backend.gelu(backend.matrix(x, x.count), form), Reference.gelu(x.doubles, form),
        Tolerances.gelu, "extremes")
    }

    @Test(arguments: BackendUnderTest.all)
    func tanhFollowsTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      for (index, (rows, width)) in Self.sizes.enumerated() {
        var random = TestRandom(UInt64(index))
        let x = random.activations(rows * width)
        let input = index % 2 == 0 ? try backend.matrix(x, width) : try backend.columns(x, width)
        let actual = try backend.tanh(input)
        #expect(actual.shape == [rows, width])
        try expectClose(backend, actual, Reference.tanh(x.doubles), Tolerances.tanh)
      }
      let x = Self.extremes + [0.624, -0.624, 0.626, -0.626]
      try expectClose(
        backend, try backend.tanh(backend.matrix(x, x.count)), Reference.tanh(x.doubles), Tolerances.tanh,
        "extremes")
    }

    @Test(arguments: BackendUnderTest.all)
    func addRoundsOnce(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      for (index, (rows, width)) in Self.sizes.enumerated() {
        var random = TestRandom(UInt64(index))
        let a = random.activations(rows * width)
        let b = random.activations(rows * width)
        let left = index % 2 == 0 ? try backend.matrix(a, width) : try backend.columns(a, width)
        let actual = try backend.add(left, backend.matrix(b, width))
        #expect(actual.shape == [rows, width])
        try expectClose(backend, actual, Reference.add(a.doubles, b.doubles), Tolerances.add)
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func softmaxFollowsTheReference(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      for (index, (rows, width)) in (Self.sizes + [(2, 3001)]).enumerated() {
        var random = TestRandom(UInt64(index))
        var x = random.activations(rows * width)
        if width > 3 { x[2] = -1e30 }
        if width > 5 { x[4] = 500 }
        let input = index % 2 == 0 ? try backend.matrix(x, width) : try backend.columns(x, width)
        let actual = try backend.softmax(input)
        #expect(actual.shape == [rows, width])
        try expectClose(
          backend, actual, Reference.softmax(x.doubles, width: width), Tolerances.softmax(width: width),
          absolute: Tolerances.smallestNormal, "[\(rows), \(width)]")
      }
      let equal = try backend.read(backend.softmax(backend.matrix([-1e30, -1e30, 3e38, 3e38], 2)))
      #expect(equal == [0.5, 0.5, 0.5, 0.5])
    }

    @Test(arguments: BackendUnderTest.all)
    func gatheredRowsAreCopies(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      for width in [1, 7, 64] {
        var random = TestRandom(9)
        let x = random.floats(9 * width)
        for indices in [[Int32(8)], [0, 0, 5], [3, 2, 1, 8, 7, 0, 0]] {
          let expected = indices.flatMap { x[(Int($0) * width)..<(Int($0) * width + width)] }
          for input in [try backend.matrix(x, width), try backend.columns(x, width)] {
            let actual = try backend.gatherRows(input, indices)
            #expect(actual.shape == [indices.count, width])
            let values = try backend.read(actual)
            #expect(values == expected)
          }
        }
      }
    }

    @Test(arguments: BackendUnderTest.all)
    func tensorsThatDoNotFitThrow(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      let a = try backend.matrix([Float](repeating: 1, count: 12), 4)
      let b = try backend.matrix([Float](repeating: 1, count: 12), 3)
      let flat = try backend.vector([Float](repeating: 1, count: 12))
      expectShapeMismatch { _ = try backend.siluMul(gate: a, up: b) }
      expectShapeMismatch { _ = try backend.siluMul(gate: flat, up: flat) }
      expectShapeMismatch { _ = try backend.add(a, b) }
      expectShapeMismatch { _ = try backend.gelu(flat, .exact) }
      expectShapeMismatch { _ = try backend.tanh(flat) }
      expectShapeMismatch { _ = try backend.softmax(flat) }
      expectShapeMismatch { _ = try backend.gatherRows(a, [0, 3]) }
      expectShapeMismatch { _ = try backend.gatherRows(a, [-1]) }
      expectShapeMismatch { _ = try backend.upload([1, 2, 3], shape: [2, 2]) }
    }

    @Test(arguments: BackendUnderTest.all)
    func uploadedNumbersComeBackUnchanged(_ backend: BackendUnderTest) throws {
      let backend = try backend.backend
      var random = TestRandom(4)
      let x = random.floats(7 * 13)
      let whole = try backend.matrix(x, 13)
      let back = try backend.read(whole)
      #expect(back == x)
      let view = try backend.read(whole.rows(2..<5).columns(3..<9))
      let expected: [Float] = (2..<5).flatMap { (row: Int) in Array(x[(row * 13 + 3)..<(row * 13 + 9)]) }
      #expect(view == expected)
      #expect(try backend.allocate([3, 5], .f32).shape == [3, 5])
    }
  }
}
