import Foundation

protocol Ticking: AnyObject {
    var interval: TimeInterval { get }
    func tick()
}

final class Clock: Ticking {
    let interval: TimeInterval = 1.0
    private var timer: Timer?
    private(set) var count = 0

    func start() {
        guard timer == nil else { return }
        timer = Timer.scheduledTimer(withTimeInterval: interval, repeats: true) { [weak self] _ in
            self?.tick()
        }
    }

    func tick() {
        count += 1
        if let date = Calendar.current.date(byAdding: .second, value: count, to: Date()) {
            print("tick \(count) at \(date)")
        }
    }
}

let clock = Clock()
clock.start()
RunLoop.main.run(until: Date().addingTimeInterval(3))
