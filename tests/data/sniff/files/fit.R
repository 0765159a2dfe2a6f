library(ggplot2)
library(dplyr)

# Fits a line to the speed of cars.
data <- read.csv("cars.csv", stringsAsFactors = FALSE)

summary_table <- data %>%
  filter(!is.na(speed), speed > 0) %>%
  group_by(maker) %>%
  summarise(mean_speed = mean(speed), n = n())

model <- lm(dist ~ speed, data = data)
print(summary(model))

residual_plot <- function(fit, title = "Residuals") {
  frame <- data.frame(x = fitted(fit), y = resid(fit))
  ggplot(frame, aes(x = x, y = y)) +
    geom_point(alpha = 0.5) +
    labs(title = title)
}

ggsave("residuals.png", residual_plot(model), width = 6, height = 4)
