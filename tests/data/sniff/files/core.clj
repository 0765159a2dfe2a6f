(ns example.core
  (:require [clojure.string :as str]
            [clojure.java.io :as io])
  (:gen-class))

(def ^:private stop-words #{"the" "a" "of"})

(defn words
  "Splits text into lower-case words."
  [text]
  (->> (str/split (str/lower-case text) #"\W+")
       (remove str/blank?)
       (remove stop-words)))

(defn top [n text]
  (let [counts (frequencies (words text))]
    (take n (sort-by (comp - val) counts))))

(defmulti area :shape)
(defmethod area :circle [{:keys [radius]}] (* Math/PI radius radius))

(defn -main [& args]
  (doseq [[word count] (top 10 (slurp (io/file (first args))))]
    (println (format "%5d %s" count word))))
