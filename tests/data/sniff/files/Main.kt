package example

import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking

data class Reading(val sensor: String, val celsius: Double?)

sealed class Verdict {
    object Fine : Verdict()
    data class TooHot(val by: Double) : Verdict()
}

fun judge(reading: Reading, limit: Double = 30.0): Verdict {
    val celsius = reading.celsius ?: return Verdict.Fine
    return when {
        celsius > limit -> Verdict.TooHot(celsius - limit)
        else -> Verdict.Fine
    }
}

fun main() = runBlocking {
    val readings = listOf(Reading("hall", 21.5), Reading("oven", 240.0), Reading("broken", null))
    readings.forEach { reading ->
        delay(10)
        println("${reading.sensor}: ${judge(reading)}")
    }
}
